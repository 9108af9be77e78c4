/**
 * traced.ts: slots for a tool that follows whole operations, from their call to their end, and may run them
 * in a context of its own. The other slots (observer.ts) only hear.
 *
 * A slot gets what is done, as a message, and the call itself; it makes the call, once, and gives back a
 * promise that settles as the call's does. Null while nobody follows: then nothing is paid but the test.
 */

/** Makes the call and says so to whoever listens. */
export type Trace = <T>(message: object, call: () => Promise<T>) => Promise<T>;

export interface Traced {
  connect: Trace | null;
  accept: Trace | null;
  read: Trace | null;
  write: Trace | null;
  /** A handler of an HTTP server. */
  request: Trace | null;
  /** A request of an HTTP client, up to the head of its response. */
  fetch: Trace | null;
}

export const traced: Traced = {
  connect: null,
  accept: null,
  read: null,
  write: null,
  request: null,
  fetch: null,
};
