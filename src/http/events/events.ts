/** events.ts: server-sent events as a client reads them (HTML standard, 9.2.6). */

/** An event that has come. */
export interface ReceivedEvent {
  /** "message" unless it says another. */
  event: string;
  data: string;
  /** The last id that came, with this event or before: to be said in Last-Event-ID. */
  id: string;
  /** How long to wait before connecting again, in ms; undefined unless the server has said so. */
  retry: number | undefined;
}

/** What events are read from: a response, ours or the platform's. */
export interface EventSourceLike {
  readonly headers: { get(name: string): string | null };
  readonly body: ReadableStream<Uint8Array> | null;
}

/** Characters of an event: more can only be meant to cost memory. */
const LONGEST_EVENT = 16 * 1024 * 1024;

/**
 * The events of a response, as they come. Leaving the loop cancels the response's body. What is not
 * complete at its end is dropped.
 *
 * Throws a TypeError when the response is no stream of events, and a RangeError for an event of more than
 * 16 Mi characters.
 *
 * @example
 * import { events, eventStream } from "coronet/http";
 * const response = eventStream(["one", { id: "2", data: "two\nlines" }]);
 * for await (const { id, data } of events(response)) console.log([id, data]); // [ "", "one" ] …
 */
export async function* events(response: EventSourceLike): AsyncGenerator<ReceivedEvent, undefined> {
  const type = response.headers.get("content-type") ?? "";
  if (!/^text\/event-stream[\t ]*(?:;|$)/i.test(type)) {
    throw new TypeError(`events: expected text/event-stream, got ${JSON.stringify(type)}`);
  }
  if (response.body === null) return;
  // The decoder takes a byte order mark away.
  const decoder = new TextDecoder();
  const parser = new EventParser();
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    yield* parser.parse(decoder.decode(chunk, { stream: true }));
  }
}

/** Text in, events out, wherever it is cut. */
export class EventParser {
  private line = "";
  /** The last character was a CR: an LF behind it belongs to it. */
  private afterCR = false;
  private data: string | undefined = undefined;
  private event = "";
  private id = "";
  private retry: number | undefined = undefined;
  private length = 0;

  *parse(text: string): Generator<ReceivedEvent, undefined> {
    let at = 0;
    if (this.afterCR && text.length > 0) {
      if (text[0] === "\n") at = 1;
      this.afterCR = false;
    }
    for (;;) {
      const end = lineEnd(text, at);
      const part = text.slice(at, end === -1 ? undefined : end);
      this.line += part;
      this.length += part.length;
      if (this.length > LONGEST_EVENT) {
        throw new RangeError(`events: an event has more than ${LONGEST_EVENT} characters`);
      }
      if (end === -1) return;
      at = end + 1;
      if (text[end] === "\r") {
        if (at === text.length) this.afterCR = true;
        else if (text[at] === "\n") at++;
      }
      const event = this.endLine();
      if (event !== undefined) yield event;
    }
  }

  private endLine(): ReceivedEvent | undefined {
    const { line } = this;
    this.line = "";
    if (line === "") return this.dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) {
      // A comment: however many there are, they hold nothing.
      this.length -= line.length;
      return undefined;
    }
    const name = colon === -1 ? line : line.slice(0, colon);
    const from = line[colon + 1] === " " ? colon + 2 : colon + 1;
    this.field(name, colon === -1 ? "" : line.slice(from));
    return undefined;
  }

  private field(name: string, value: string): void {
    switch (name) {
      case "data":
        this.data = this.data === undefined ? value : `${this.data}\n${value}`;
        break;
      case "event":
        this.event = value;
        break;
      case "id":
        if (!value.includes("\0")) this.id = value;
        break;
      case "retry":
        if (/^[0-9]+$/.test(value)) this.retry = Number(value);
        break;
      default:
    }
  }

  private dispatch(): ReceivedEvent | undefined {
    const { data, event, id, retry } = this;
    this.data = undefined;
    this.event = "";
    this.length = 0;
    // An event of nothing but "data" lines without a value is one; one without a line of data is none.
    return data === undefined ? undefined : { event: event || "message", data, id, retry };
  }
}

/** Where the next line ends: at its CR or LF; -1 for nowhere. */
function lineEnd(text: string, from: number): number {
  for (let i = from; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 10 || code === 13) return i;
  }
  return -1;
}
