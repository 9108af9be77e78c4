/**
 * incoming.ts: the body of a request, read from its connection as fast as it is taken.
 *
 * Invariants
 *  - Nobody but the body's reader reads the connection until `done`.
 *  - 100 Continue is written when the first byte is asked for that has not come by itself, and never
 *    behind the head of the response.
 *  - Once the request is over, a reader that comes too late gets an error, never another request's bytes.
 */
import { allOf, type Incoming } from "./body.ts";
import { bodyError, HTTPError } from "./errors.ts";
import { CONTINUE } from "./message.ts";
import type { RequestParser } from "./parser.ts";

/** Before the rate counts, in ms. */
const GRACE = 5_000;

/** What a body needs of its connection. */
export interface BodySource {
  /** Waits for input, at most so many ms: false at the end of the stream. */
  more(ms: number): Promise<boolean>;
  /** Gives the input that is there to the parser. */
  feed(parser: RequestParser): void;
  write(text: string): Promise<unknown>;
  /** The client has gone while the body was still to come. */
  gone(cause: unknown): void;
  /** The body has been read to its end. */
  complete(): void;
}

const nothing = new Uint8Array(0);

export class IncomingBody implements Incoming {
  /** The client waits for a word before it sends the body. */
  awaitsContinue: boolean;
  /** The response has begun: it is the word. */
  answered = false;
  private readonly source: BodySource;
  private readonly rate: number;
  private parser: RequestParser | undefined;
  private next = 0;
  private over = false;
  private failed: HTTPError | undefined = undefined;
  /** ms that were spent waiting for the client. */
  private waited = 0;
  private filling: Promise<void> | undefined = undefined;

  constructor(source: BodySource, parser: RequestParser, rate: number, awaitsContinue: boolean) {
    this.source = source;
    this.parser = parser;
    this.rate = rate;
    this.awaitsContinue = awaitsContinue && !parser.done && parser.body.length === 0;
  }

  /** Everything has come, whether it was taken or not. */
  get arrived(): boolean {
    return this.parser === undefined || this.parser.done;
  }

  /** Bytes that are still to come, where they were declared; -1 where not. */
  get missing(): number {
    const { parser } = this;
    if (parser === undefined || parser.done) return 0;
    return parser.contentLength === -1 ? -1 : parser.contentLength - parser.bodyBytes;
  }

  get failure(): HTTPError | undefined {
    return this.failed;
  }

  /** Names and values of the trailers in turn, once the body has been read. */
  get trailers(): readonly string[] {
    return this.parser?.trailers ?? [];
  }

  async read(): Promise<Uint8Array | null> {
    for (;;) {
      if (this.over) {
        throw new HTTPError(0, "ERR_BODY_OVER", "request body: the request is over");
      }
      const parser = this.parser as RequestParser;
      if (this.next < parser.body.length) return parser.body[this.next++] as Uint8Array;
      if (parser.done) return null;
      if (this.failed !== undefined) throw this.failed;
      if (parser.status !== 0) throw this.fail(bodyError(parser.status, parser.reason));
      await this.fill(parser);
    }
  }

  readAll(): Promise<Uint8Array> {
    return allOf(this);
  }

  takeNow(): Uint8Array | undefined {
    const { parser } = this;
    if (this.over || parser === undefined || !parser.done || parser.status !== 0) return undefined;
    const left = parser.body.length - this.next;
    if (left > 1 || this.failed !== undefined) return undefined;
    if (left === 0) return nothing;
    return parser.body[this.next++] as Uint8Array;
  }

  /** What is left is read by the server, or not at all. */
  cancel(): void {}

  /** Reads what is left, at most so many bytes: false when there is more, or it does not come. */
  async drain(most: number): Promise<boolean> {
    const parser = this.parser as RequestParser;
    const limit = parser.bodyBytes + most;
    while (!parser.done) {
      if (this.failed !== undefined || parser.status !== 0) return false;
      if (this.awaitsContinue || parser.bodyBytes > limit || this.missing > most) return false;
      try {
        await this.fill(parser);
      } catch {
        return false;
      }
    }
    return true;
  }

  /** The request is over: gives its parser back. */
  end(): RequestParser {
    this.over = true;
    const parser = this.parser as RequestParser;
    this.parser = undefined;
    return parser;
  }

  /** Whoever comes while somebody waits for input waits with him: two would lose each other's bytes. */
  private fill(parser: RequestParser): Promise<void> {
    if (this.filling !== undefined) return this.filling;
    const filling = this.fillAlone(parser).finally(() => {
      this.filling = undefined;
    });
    this.filling = filling;
    return filling;
  }

  private async fillAlone(parser: RequestParser): Promise<void> {
    const { source } = this;
    parser.body.length = this.next = 0;
    if (this.awaitsContinue) {
      this.awaitsContinue = false;
      if (!this.answered) await source.write(CONTINUE);
    }
    await this.wait(parser);
    // The parser may be another request's by now.
    if (this.over) return;
    source.feed(parser);
    if (parser.done) source.complete();
  }

  private async wait(parser: RequestParser): Promise<void> {
    const earned = this.rate === 0 ? Infinity : GRACE + (parser.bodyBytes * 1000) / this.rate;
    const before = performance.now();
    let more = false;
    let cause: unknown;
    try {
      more = await this.source.more(Math.max(1, earned - this.waited));
    } catch (error) {
      cause = error;
    }
    this.waited += performance.now() - before;
    if (more) return;
    if ((cause as { code?: string } | undefined)?.code === "ERR_DEADLINE") {
      throw this.fail(bodyError(408, "it comes too slowly", cause));
    }
    this.source.gone(cause);
    const text = "request body: the client has gone before its end";
    throw this.fail(new HTTPError(0, "ERR_BODY_ABORTED", text, cause));
  }

  private fail(error: HTTPError): HTTPError {
    this.failed = error;
    return error;
  }
}
