/**
 * stream.ts: server-sent events: a response whose body is a stream of events (HTML standard, 9.2).
 *
 * An event is asked for when the kernel has taken the one before. While the source has none a comment goes
 * out now and then: it keeps proxies from giving up, and finds out that a client has gone.
 */
import { runtime } from "../../runtime/runtime.ts";
import { Timer } from "../../runtime/timers.ts";
import { Headers, type HeadersInit } from "../headers.ts";
import { Response } from "../response.ts";

/** One event, or what a client is told beside events. A property that is left out is not sent. */
export interface ServerSentEvent {
  /** Its text; lines may end in any way. Without it nothing is dispatched in the client. */
  data?: string;
  /** Its type; "message" in a client that gets none. */
  event?: string;
  /** What a client that connects again says in Last-Event-ID; "" forgets it. */
  id?: string;
  /** How long a client waits before it connects again, in ms. */
  retry?: number;
  /** Not seen by the client's program. */
  comment?: string;
}

export interface EventStreamOptions {
  /** Ends the stream: `request.signal`, to hear of a client that leaves at once. */
  signal?: AbortSignal;
  /** After so many ms without an event a comment is sent; null never. 15 s. */
  keepAlive?: number | null;
  /** More headers of the response. */
  headers?: HeadersInit;
}

const KEEP_ALIVE_MS = 15_000;
const COMMENT = ":\n\n";
const LINE_END = /\r\n|\r|\n/;

/**
 * A response that sends events as its source gives them: strings are the data of an event each. When the
 * client leaves, the source's iterator is returned: its `finally` runs. Until something is sent nobody
 * notices that, unless the request's signal is given.
 *
 * @example
 * import { sleep } from "coronet";
 * import { events, eventStream, serve } from "coronet/http";
 * async function* ticks() {
 *   for (let i = 1; i <= 3; i++) {
 *     yield { event: "tick", id: String(i), data: `tick\n${i}` };
 *     await sleep(1);
 *   }
 * }
 * await using server = await serve("127.0.0.1:0", (request) =>
 *   eventStream(ticks(), { signal: request.signal }),
 * );
 * const response = await fetch(`http://${server.addr}/`);
 * for await (const { event, id, data } of events(response)) console.log(event, id, data.split("\n"));
 * // tick 1 [ "tick", "1" ] …
 */
export function eventStream(
  source: AsyncIterable<ServerSentEvent | string> | Iterable<ServerSentEvent | string>,
  options: EventStreamOptions = {},
): Response {
  const { signal, keepAlive = KEEP_ALIVE_MS } = options;
  if (keepAlive !== null && !(typeof keepAlive === "number" && keepAlive > 0)) {
    throw new RangeError(`keepAlive: expected a positive number of ms or null, got ${keepAlive}`);
  }
  const headers = new Headers(options.headers);
  headers.set("content-type", "text/event-stream");
  if (!headers.has("cache-control")) headers.set("cache-control", "no-cache");
  const iterator =
    Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  return new Response(new EventBody(iterator, signal, keepAlive ?? Infinity), { headers });
}

/** What a client that connects again has seen last; "" for one that has seen nothing. */
export function lastEventId(request: { headers: { get(name: string): string | null } }): string {
  // A header's characters are bytes, and these bytes are UTF-8.
  return Buffer.from(request.headers.get("last-event-id") ?? "", "latin1").toString();
}

/** An event as text. Throws a TypeError for what cannot be said. */
export function eventText(event: ServerSentEvent | string): string {
  if (typeof event === "string") return lines("data", event, "\n");
  const { data, event: type, id, retry, comment } = event;
  let text = comment === undefined ? "" : lines("", comment, "");
  if (type !== undefined) text += `event: ${oneLine("event", type)}\n`;
  if (id !== undefined) {
    if (id.includes("\0")) throw new TypeError("eventStream: an id has no NUL");
    text += `id: ${oneLine("id", id)}\n`;
  }
  if (retry !== undefined) {
    if (!(Number.isInteger(retry) && retry >= 0)) {
      throw new TypeError(`eventStream: retry is a whole number of ms, got ${retry}`);
    }
    text += `retry: ${retry}\n`;
  }
  return `${text}${data === undefined ? "" : lines("data", data, "")}\n`;
}

function lines(field: string, value: string, end: string): string {
  if (typeof value !== "string")
    throw new TypeError(`eventStream: ${field || "comment"} is no text`);
  return value.split(LINE_END).reduce((text, line) => `${text}${field}: ${line}\n`, "") + end;
}

function oneLine(field: string, value: string): string {
  if (typeof value !== "string" || LINE_END.test(value)) {
    throw new TypeError(`eventStream: ${field} is not one line of text`);
  }
  return value;
}

type Next = IteratorResult<string, undefined>;
type Source = Iterator<ServerSentEvent | string> | AsyncIterator<ServerSentEvent | string>;

const END: Next = { done: true, value: undefined };

/**
 * The body: one consumer, which asks for one piece at a time.
 *
 * The source is asked once for each event, also when comments go out meanwhile: its answer waits in `ready`
 * for whoever asks next.
 */
class EventBody extends Timer implements AsyncIterable<string>, AsyncIterator<string, undefined> {
  private readonly source: Source;
  private readonly signal: AbortSignal | undefined;
  private readonly keepAlive: number;
  private asked = false;
  private over = false;
  private ready: Next | undefined = undefined;
  private failed: { error: unknown } | undefined = undefined;
  private wake: (() => void) | undefined = undefined;

  constructor(source: Source, signal: AbortSignal | undefined, keepAlive: number) {
    super();
    this.source = source;
    this.signal = signal;
    this.keepAlive = keepAlive;
    if (signal?.aborted === true) this.leave();
    else signal?.addEventListener("abort", this.leave);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<Next> {
    if (!this.asked && !this.over) {
      this.asked = true;
      void this.ask();
    }
    if (this.ready === undefined && this.failed === undefined && !this.over) await this.wait();
    const { failed, ready } = this;
    if (failed !== undefined) {
      this.leave();
      throw failed.error;
    }
    if (this.over) return END;
    if (ready === undefined) return { done: false, value: COMMENT };
    this.ready = undefined;
    this.asked = false;
    if (ready.done === true) this.end();
    return ready;
  }

  /** Asks the source for one event. */
  private async ask(): Promise<void> {
    try {
      const { done, value } = await this.source.next();
      this.ready = done === true ? END : { done: false, value: eventText(value) };
    } catch (error) {
      this.failed = { error };
    }
    this.wake?.();
  }

  private wait(): Promise<void> {
    const { clock, timers } = runtime();
    if (this.keepAlive !== Infinity) timers.arm(this, clock.now() + this.keepAlive);
    return new Promise((resolve) => {
      this.wake = () => {
        timers.disarm(this);
        this.wake = undefined;
        resolve();
      };
    });
  }

  /** Nothing came for a while. */
  fire(): void {
    this.wake?.();
  }

  /** The client has left. */
  private readonly leave = (): void => {
    if (this.over) return;
    this.end();
    this.wake?.();
    // One that waits for something answers when it has it; nobody waits for that.
    void Promise.resolve(this.source.return?.()).catch(() => {});
  };

  return(): Promise<Next> {
    this.leave();
    return Promise.resolve(END);
  }

  private end(): void {
    this.over = true;
    this.signal?.removeEventListener("abort", this.leave);
  }
}
