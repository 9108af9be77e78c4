/**
 * writer.ts: what is sent on a stream of HTTP/2, as fast as the client takes it.
 *
 * The client opens a window for each stream. One that leaves it shut for too long ends the stream.
 */
import type { ServerHttp2Stream } from "node:http2";

/** The client has given the stream up, or its connection has gone. */
export class StreamGone extends Error {
  constructor() {
    super("the client has gone");
  }
}

export class StreamWriter {
  /** Bytes of the body that were handed over. */
  bytes = 0;
  /** Something is to leave, and the client has to take it. */
  private leaving = false;
  /** How many times the connection has looked since. */
  private looks = 0;
  private readonly stream: ServerHttp2Stream;
  private wake: (() => void) | undefined = undefined;

  constructor(stream: ServerHttp2Stream) {
    this.stream = stream;
  }

  async write(part: Uint8Array): Promise<void> {
    const { stream } = this;
    if (stream.destroyed || stream.closed) throw new StreamGone();
    this.bytes += part.length;
    if (stream.write(part)) return;
    await this.until("drain", () => !stream.writableNeedDrain);
  }

  /** Ends the body, with its last bytes. They leave when the client takes them. */
  end(last?: Uint8Array | string): void {
    const { stream } = this;
    this.leaving = true;
    this.looks = 0;
    if (last === undefined) stream.end();
    else {
      this.bytes += typeof last === "string" ? Buffer.byteLength(last) : last.length;
      stream.end(last);
    }
  }

  /** Waits until everything has left. */
  async left(): Promise<void> {
    const { stream } = this;
    // Behind trailers a stream closes before it says that it has finished.
    await this.until(
      "finish",
      () => stream.writableFinished || (stream.closed && !stream.aborted && stream.rstCode === 0),
    );
  }

  /** The stream is closed: nothing more leaves. */
  closed(): void {
    this.leaving = false;
    this.wake?.();
  }

  /** The connection looks after its streams, so that none has a timer: true when this one has waited for too long. */
  look(most: number): boolean {
    return this.leaving && ++this.looks > most;
  }

  private async until(event: "drain" | "finish", holds: () => boolean): Promise<void> {
    const { stream } = this;
    if (holds()) return;
    const wake = (): void => this.wake?.();
    stream.on(event, wake);
    this.leaving = true;
    this.looks = 0;
    try {
      while (!holds()) {
        if (stream.destroyed || stream.closed) throw new StreamGone();
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
      }
    } finally {
      stream.removeListener(event, wake);
      this.leaving = false;
    }
  }
}
