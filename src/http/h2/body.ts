/**
 * body.ts: the body of a request over HTTP/2. The window that the client sees opens as it is taken.
 *
 * Invariants
 *  - Limits are those of HTTP/1.1: so many bytes (413), and a rate that it has to come at (408).
 *  - 100 Continue is sent when the first byte is asked for, and never behind the response's head.
 */
import type { ServerHttp2Stream } from "node:http2";
import { allOf, type Incoming } from "../body.ts";
import { bodyError, HTTPError } from "../errors.ts";
import type { Settings } from "../options.ts";

/** Before the rate counts, in ms. */
const GRACE = 5_000;

/** What every readable stream of Node keeps: `ended` from when its last byte has come. */
interface Inner {
  _readableState: { ended: boolean };
}

export class StreamBody implements Incoming {
  trailers: readonly string[] = [];
  /** The client waits for a word before it sends the body. */
  awaitsContinue: boolean;
  private readonly stream: ServerHttp2Stream;
  private readonly settings: Settings;
  private bytes = 0;
  private waited = 0;
  private ended = false;
  private over = false;
  private failed: HTTPError | undefined = undefined;
  private wake: (() => void) | undefined = undefined;

  constructor(stream: ServerHttp2Stream, settings: Settings, awaitsContinue: boolean) {
    this.stream = stream;
    this.settings = settings;
    this.awaitsContinue = awaitsContinue;
    const wake = (): void => this.wake?.();
    const onTrailers = (_: unknown, __: number, raw: string[]): void => {
      this.trailers = raw;
    };
    stream.on("trailers", onTrailers as (headers: unknown, flags: number) => void);
    stream.on("readable", wake);
    stream.on("end", () => {
      this.ended = true;
      wake();
    });
  }

  async read(): Promise<Uint8Array | null> {
    const { stream, settings } = this;
    this.sayContinue();
    for (;;) {
      if (this.failed !== undefined) throw this.failed;
      if (this.over) {
        throw new HTTPError(0, "ERR_BODY_OVER", "request body: the request is over");
      }
      const chunk = this.take();
      if (chunk !== null) {
        this.bytes += chunk.length;
        if (this.bytes > settings.body) throw this.fail(bodyError(413, "it is too large"));
        return chunk;
      }
      if (this.ended) return null;
      if (this.isWhole()) {
        // Trailers are told of in a tick of their own, which was asked for before the end was.
        await new Promise<void>(process.nextTick);
        this.ended = true;
        return null;
      }
      if (stream.destroyed || stream.aborted) {
        const text = "request body: the client has gone before its end";
        throw this.fail(new HTTPError(0, "ERR_BODY_ABORTED", text));
      }
      await this.wait();
    }
  }

  /**
   * What is there, and exactly that: a stream that is asked for more ends, and is destroyed then as soon as
   * the response is sent, before it knows that it was. Node makes an error of that, which nobody sees.
   */
  private take(): Buffer | null {
    const { stream } = this;
    const length = stream.readableLength;
    if (length > 0) return stream.read(length);
    return this.isWhole() ? null : stream.read();
  }

  /** The client has said everything, and all of it was taken. */
  private isWhole(): boolean {
    const { stream } = this;
    return (stream as unknown as Inner)._readableState.ended && stream.readableLength === 0;
  }

  readAll(): Promise<Uint8Array> {
    return allOf(this);
  }

  /** What is left is not asked for. */
  cancel(): void {}

  /** All of it has been read. */
  get arrived(): boolean {
    return this.ended;
  }

  /** The stream is closed: what has not come never will. */
  closed(): void {
    this.wake?.();
  }

  /** The request is over: who reads on gets an error. */
  end(): void {
    this.over = true;
    this.wake?.();
  }

  private sayContinue(): void {
    const { stream } = this;
    if (!this.awaitsContinue) return;
    this.awaitsContinue = false;
    if (!stream.headersSent && !stream.destroyed) stream.additionalHeaders({ ":status": 100 });
  }

  private async wait(): Promise<void> {
    const { bodyRate } = this.settings;
    const earned = bodyRate === 0 ? Infinity : GRACE + (this.bytes * 1000) / bodyRate;
    const before = performance.now();
    let late = false;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
      if (earned === Infinity) return;
      const onTime = (): void => {
        late = true;
        resolve();
      };
      timer = setTimeout(onTime, Math.max(1, earned - this.waited));
    });
    clearTimeout(timer);
    this.waited += performance.now() - before;
    if (late) throw this.fail(bodyError(408, "it comes too slowly"));
  }

  private fail(error: HTTPError): HTTPError {
    this.failed = error;
    return error;
  }
}
