/**
 * writer.ts: what is sent on a stream of HTTP/2, as fast as the client takes it.
 *
 * The client opens a window for each stream. One that leaves it shut for too long ends the stream.
 */
import { constants, type ServerHttp2Stream } from "node:http2";

/** The client has given the stream up, or its connection has gone. */
export class StreamGone extends Error {
  constructor() {
    super("the client has gone");
  }
}

export class StreamWriter {
  /** Bytes of the body that were handed over. */
  bytes = 0;
  private readonly stream: ServerHttp2Stream;
  /** How long a client may take nothing, in ms. */
  private readonly patience: number;
  private wake: (() => void) | undefined = undefined;

  constructor(stream: ServerHttp2Stream, patience: number) {
    this.stream = stream;
    this.patience = patience;
    const wake = (): void => this.wake?.();
    stream.on("drain", wake).on("finish", wake).on("close", wake);
  }

  async write(part: Uint8Array): Promise<void> {
    const { stream } = this;
    if (stream.destroyed || stream.closed) throw new StreamGone();
    this.bytes += part.length;
    if (stream.write(part)) return;
    await this.until(() => !stream.writableNeedDrain);
  }

  /** Ends the body, and waits until everything has left. */
  async end(last?: Uint8Array | string): Promise<void> {
    const { stream } = this;
    if (last !== undefined) {
      this.bytes += typeof last === "string" ? Buffer.byteLength(last) : last.length;
      stream.end(last);
    } else stream.end();
    // Behind trailers a stream closes before it says that it has finished.
    await this.until(
      () => stream.writableFinished || (stream.closed && !stream.aborted && stream.rstCode === 0),
    );
  }

  private async until(holds: () => boolean): Promise<void> {
    const { stream, patience } = this;
    const late = (): void => stream.close(constants.NGHTTP2_CANCEL);
    let timer: NodeJS.Timeout | undefined;
    try {
      while (!holds()) {
        if (stream.destroyed || stream.closed) throw new StreamGone();
        if (timer === undefined && patience !== Infinity) timer = setTimeout(late, patience);
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
      }
    } finally {
      clearTimeout(timer);
    }
  }
}
