/**
 * diagnostics.ts: Coronet's operations on node:diagnostics_channel, for tracers of all makers.
 *
 * Each operation is a TracingChannel, "coronet:connect" for example, whose five channels tell of its start,
 * its synchronous end, its asynchronous start and end, and its error. A store that somebody has bound to the
 * start channel (bindStore) is the operation's context. What nobody subscribes to is not published.
 */
import { type TracingChannel, tracingChannel } from "node:diagnostics_channel";
import { type Trace, type Traced, traced } from "../runtime/traced.ts";

const NAMES = [
  "connect",
  "accept",
  "read",
  "write",
  "request",
  "fetch",
] as const satisfies readonly (keyof Traced)[];

type Channel = TracingChannel<unknown, object> & { readonly hasSubscribers: boolean };

function traceOn(channel: Channel): Trace {
  return <T>(message: object, call: () => Promise<T>): Promise<T> =>
    channel.hasSubscribers ? channel.tracePromise(call, message) : call();
}

let users = 0;

/**
 * Publishes what Coronet does on the tracing channels "coronet:connect", "coronet:accept", "coronet:read",
 * "coronet:write", "coronet:request" (a handler of an HTTP server) and "coronet:fetch". Returns what ends
 * that, once. A channel that nobody subscribes to costs some nanoseconds per operation.
 *
 * A `for await` over a conn is followed when its loop begins after this call.
 *
 * @example
 * import { tracingChannel } from "node:diagnostics_channel";
 * import { publishDiagnostics } from "coronet/debug";
 * import { fetch, Response, serve } from "coronet/http";
 * const stop = publishDiagnostics();
 * const handlers = {
 *   start(message: { request: Request }) {
 *     console.log("begins", message.request.method);
 *   },
 *   asyncEnd(message: { result: Response }) {
 *     console.log("ends", message.result.status);
 *   },
 * };
 * tracingChannel("coronet:request").subscribe(handlers as never);
 * await using server = await serve("127.0.0.1:0", () => new Response("hello"));
 * await (await fetch(`http://${server.addr}/`)).text(); // begins GET, ends 200
 * stop();
 */
export function publishDiagnostics(): () => void {
  if (users++ === 0) {
    for (const name of NAMES) traced[name] = traceOn(tracingChannel(`coronet:${name}`) as Channel);
  }
  let over = false;
  return () => {
    if (over) return;
    over = true;
    if (--users > 0) return;
    for (const name of NAMES) traced[name] = null;
  };
}
