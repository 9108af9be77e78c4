/**
 * duplex_end.ts: one of Node's streams, seen as a socket that never blocks.
 *
 * What arrives is queued, up to HIGH bytes; then the stream is paused until half of it was taken.
 * What is sent is copied and handed to the stream, which may hold HIGH bytes that it could not pass
 * on; then the end is full until half of them are gone. So "sent" means: in the kernel, or among the
 * last HIGH bytes on their way there, which is why close() ends the stream before it destroys it.
 *
 * Invariants
 *  - Bytes come before the end of the stream, and before an error.
 *  - An end that proves not to be the peer's (`verdict`) is an error to every read, in its place.
 *  - An error stays for reads. A write is told it once; after that its pipe is broken (EPIPE).
 *  - An 'error' of the stream is never uncaught, also long after close.
 */
import { Socket } from "node:net";
import { constants } from "node:os";
import type { Duplex } from "node:stream";
import { ByteQueue } from "../internal/byte_queue.ts";
import { EAGAIN, ECONNRESET, EPIPE, EPROTO } from "./errno.ts";
import type { Readiness } from "./kernel.ts";

/** Bytes that one direction holds in memory. */
const HIGH = 65_536;
const LOW = HIGH / 2;

/** Node's names for a stream that went away before its end. */
const GONE = new Set(["ERR_STREAM_PREMATURE_CLOSE", "ERR_STREAM_DESTROYED", "ABORT_ERR"]);

/** The error number of a stream's error; EPROTO for what is no system call's (of TLS, of a program). */
export function errnoOf(error: unknown): number {
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code !== "string") return EPROTO;
  if (GONE.has(code)) return ECONNRESET;
  return (constants.errno as Record<string, number>)[code] ?? EPROTO;
}

export class DuplexEnd {
  readonly stream: Duplex;
  /** close() discards what was not sent yet and resets the connection (SO_LINGER with 0). */
  abortive = false;
  private readonly incoming = new ByteQueue();
  private readiness: Readiness | undefined;
  private ended = false;
  /** Why the end of the stream is not the peer's; 0 when it is. */
  private cut = 0;
  private readonly verdict: (() => number) | undefined;
  /** Errno of the stream's error, and whether a write has been told. */
  private failed = 0;
  private told = false;
  private writeShut = false;
  private readShut = false;
  private paused = false;
  private full = false;
  private closed = false;

  /**
   * Takes the stream over; it flows from now on and, where it can, keeps no process alive. `verdict` is
   * asked at its end: an error number when the peer has not said that it is the end.
   */
  constructor(stream: Duplex, verdict?: () => number) {
    this.stream = stream;
    this.verdict = verdict;
    // Undefined for a stream that is not of Node's own making.
    if (stream.errored) this.fail(errnoOf(stream.errored));
    else if (stream.readableEnded) this.ended = true;
    else if (stream.destroyed) this.fail(ECONNRESET);
    // Only a half of what the peer may do: it ends its direction, this end still ends its own.
    stream.allowHalfOpen = true;
    stream.on("error", (error) => this.fail(errnoOf(error)));
    stream.on("end", this.onEnd);
    stream.on("close", this.onClose);
    stream.on("data", this.onData);
    (stream as Partial<Socket>).unref?.();
    stream.resume();
  }

  watch(readiness: Readiness): void {
    this.readiness = readiness;
    const gone = this.failed !== 0;
    if (gone || this.ended || this.incoming.length > 0) {
      readiness.notify(true, gone, gone || this.ended);
    }
  }

  // ---- reading

  recv(target: Uint8Array): number {
    const state = this.peek();
    if (state <= 0) return state;
    const n = this.incoming.shift(target);
    if (this.paused && this.incoming.length <= LOW) {
      this.paused = false;
      this.stream.resume();
    }
    return n;
  }

  peek(): number {
    if (this.incoming.length > 0) return 1;
    if (this.ended) return -this.cut;
    if (this.failed === 0) return -EAGAIN;
    // What a write was told. To a reader it means that more may have been on its way.
    return this.failed === EPIPE ? -ECONNRESET : -this.failed;
  }

  /** No more is read: what comes is let go, so that the stream gets to its end. */
  shutRead(): void {
    this.readShut = true;
    this.incoming.clear();
    this.stream.resume();
  }

  private readonly onData = (chunk: Uint8Array): void => {
    if (this.readShut || this.closed || chunk.length === 0) return;
    this.incoming.push(chunk);
    if (this.incoming.length >= HIGH && !this.paused) {
      this.paused = true;
      this.stream.pause();
    }
    this.readiness?.notify(true, false, false);
  };

  private readonly onEnd = (): void => {
    this.ended = true;
    this.cut = this.verdict?.() ?? 0;
    this.readiness?.notify(true, false, true);
  };

  private readonly onClose = (): void => {
    // Without its end: the peer may have had more to say.
    if (!this.ended) this.fail(ECONNRESET);
    else this.readiness?.notify(true, true, true);
  };

  private fail(number: number): void {
    if (this.failed === 0) this.failed = number;
    this.readiness?.notify(true, true, true);
  }

  // ---- writing

  /** Bytes that may be sent now; a negative errno when there is no room, or never will be. */
  room(): number {
    if (this.failed !== 0 && !this.told) {
      this.told = true;
      return -this.failed;
    }
    if (this.writeShut || !this.stream.writable) return -EPIPE;
    const room = HIGH - this.stream.writableLength;
    if (room > 0) return room;
    this.full = true;
    return -EAGAIN;
  }

  /** Sends bytes that nobody else will change; there must be room for them. */
  send(bytes: Uint8Array): void {
    this.stream.write(bytes, this.onWritten);
  }

  /** A write took less than it was asked to: its goroutine waits to be told. */
  wantRoom(): void {
    this.full = true;
  }

  shutWrite(): void {
    if (this.writeShut) return;
    this.writeShut = true;
    this.stream.end();
  }

  /** Bytes on their way to the kernel; the end of the stream counts as one. */
  get unsent(): number {
    const { stream } = this;
    if (stream.destroyed || stream.writableFinished) return 0;
    return stream.writableLength + (this.writeShut ? 1 : 0);
  }

  private readonly onWritten = (): void => {
    if (!this.full || this.stream.writableLength > LOW) return;
    this.full = false;
    this.readiness?.notify(false, true, false);
  };

  // ---- the end

  /** Delivers what was sent, then destroys the stream; at once when nothing is on its way. */
  close(): void {
    const { stream, incoming } = this;
    const unread = incoming.length + stream.readableLength > 0;
    this.closed = true;
    this.readiness = undefined;
    incoming.clear();
    if (stream.destroyed) return;
    // As tcp(7): closing with unread bytes resets the connection, so that the peer learns of it.
    if (this.abortive || (unread && !this.readShut)) this.reset();
    else if (isPlain(stream) && stream.writableLength === 0) stream.destroy();
    else this.finish();
  }

  private finish(): void {
    const { stream } = this;
    const destroy = (): void => {
      stream.destroy();
    };
    stream.once("error", destroy);
    // What still comes is let go; it must not stand in the way of an answer to our end.
    stream.resume();
    if (stream.writableFinished) destroy();
    else stream.once("finish", destroy);
    if (!stream.writableEnded) stream.end();
  }

  private reset(): void {
    const { stream } = this;
    if (!isPlain(stream)) {
      stream.destroy(Object.assign(new Error("reset by this side"), { code: "ECONNRESET" }));
      return;
    }
    try {
      stream.resetAndDestroy();
    } catch {
      // A unix socket has no reset.
      stream.destroy();
    }
  }
}

/** A socket without a protocol of its own on top: closing its fd ends it in good order. */
function isPlain(stream: Duplex): stream is Socket {
  return stream instanceof Socket && (stream as { encrypted?: boolean }).encrypted !== true;
}
