/**
 * handle_wire.ts: how a connection or listener looks on its way through a unix socket.
 *
 * Frames of at most 2048 bytes:
 *
 *   "CRNT"  version(1)  flags(1)  length(2, network order)  payload(length)
 *
 *   FIRST    begins a handle; what was collected of an earlier one is dropped
 *   END      the payload ends a put-back (on a stream they are one after the other)
 *   HANDLE   the payload is JSON, what has to be known of the descriptor that comes with this frame
 *
 * The bytes that were put back go first, the frame with the descriptor is the last: as long as it is
 * not sent, nothing is lost by giving up. A frame is smaller than half of the smallest send buffer
 * (SOCK_MIN_SNDBUF, socket(7)), so that Linux takes it whole or not at all, and a sender that gives
 * up leaves no half of one behind.
 */
import type { FD } from "../poll/fd.ts";
import type { Assembly, Refused } from "../poll/passing.ts";
import { EMFILE, EPROTO } from "../syscall/errno.ts";
import type { StreamNetwork } from "./addr.ts";

const MAGIC = Buffer.from("CRNT");
const VERSION = 1;
const FIRST = 1;
const END = 2;
const HANDLE = 4;

const HEADER = 8;
const MAX_FRAME = 2048;
const MAX_PAYLOAD = MAX_FRAME - HEADER;
/** Most bytes that may have been put back. */
export const MAX_LEFTOVER = 16 << 20;

export type HandleKind = "conn" | "listener";

/** What has to be known of a descriptor beside itself. */
export interface Details {
  kind: HandleKind;
  network: StreamNetwork;
  /** The peer of a conn, as text. */
  remote?: string;
  /** Reads of the conn answer EOF; the failure that its socket stays in. */
  readShut?: boolean;
  failed?: number;
  /** The path that a listener owns, and which file that is. */
  path?: string;
  identity?: string;
}

/** What arrived: the descriptor is the receiver's to close. */
export interface Handle {
  readonly details: Details;
  readonly sysfd: number;
  readonly parts: readonly Uint8Array[];
}

/** The frames of a handle, or undefined when its details are too long. */
export function framesOf(details: Details, parts: readonly Uint8Array[]): Uint8Array[] | undefined {
  const json = Buffer.from(JSON.stringify(details));
  if (json.length > MAX_PAYLOAD) return undefined;
  const frames: Uint8Array[] = [];
  const add = (flags: number, payload: Uint8Array): void => {
    frames.push(frameOf(frames.length === 0 ? flags | FIRST : flags, payload));
  };
  for (const part of parts) {
    for (let at = 0; at < part.length; at += MAX_PAYLOAD) {
      const end = at + MAX_PAYLOAD >= part.length ? END : 0;
      add(end, part.subarray(at, at + MAX_PAYLOAD));
    }
  }
  add(HANDLE, json);
  return frames;
}

function frameOf(flags: number, payload: Uint8Array): Uint8Array {
  const frame = Buffer.alloc(HEADER + payload.length);
  frame.set(MAGIC);
  frame[4] = VERSION;
  frame[5] = flags;
  frame.writeUInt16BE(payload.length, 6);
  frame.set(payload, HEADER);
  return frame;
}

function violation(text: string): Refused {
  return { number: EPROTO, text };
}

/** What comes through a channel, put together. Lives as long as the channel. */
export class IncomingHandle implements Assembly<Handle> {
  readonly buffer = Buffer.alloc(MAX_FRAME);
  have = 0;
  private readonly channel: FD;
  private length = HEADER;
  /** Descriptors that came with this frame, and whether the kernel dropped some. */
  private fds: number[] = [];
  private surplus = false;
  private dropped = false;
  /** Whether a handle has begun, and what was put back before it. */
  private begun = false;
  private parts: Uint8Array[] = [];
  private pieces: Uint8Array[] = [];
  private leftover = 0;
  private complete: Handle | undefined;

  constructor(channel: FD) {
    this.channel = channel;
  }

  get want(): number {
    return this.length - this.have;
  }

  take(wanted: string): Handle | Refused | undefined {
    const handle = this.complete;
    if (handle === undefined) return undefined;
    const { kind } = handle.details;
    if (kind !== wanted) {
      const call = kind === "conn" ? "receiveConn" : "receiveListener";
      return violation(`what arrived is a ${kind}: call ${call} to take it`);
    }
    this.complete = undefined;
    return handle;
  }

  received(n: number, out: Int32Array): Refused | undefined {
    this.have += n;
    this.keepFds(out);
    if (this.length === HEADER) {
      const refused = this.header();
      if (refused !== undefined) return refused;
    }
    return this.have === this.length ? this.frame() : undefined;
  }

  ended(): Refused | null {
    const inside = this.have > 0 || this.begun;
    this.discard();
    return inside ? violation("the channel ended in the middle of a handle") : null;
  }

  /** Closes and forgets what is there so far. */
  discard(): void {
    if (this.complete !== undefined) this.closeFd(this.complete.sysfd);
    this.complete = undefined;
    this.forgetTransfer();
    this.nextFrame();
  }

  private keepFds(out: Int32Array): void {
    const [arrived = 0, dropped, fd = 0] = out;
    if (arrived > 0 && fd >= 0) this.fds.push(fd);
    // A negative one came, but there was no memory to keep it.
    if (dropped !== 0 || (arrived > 0 && fd < 0)) this.dropped = true;
    if (arrived > 1) this.surplus = true;
  }

  /** Looks at as much of the header as there is. */
  private header(): Refused | undefined {
    const magic = Math.min(this.have, MAGIC.length);
    if (this.buffer.compare(MAGIC, 0, magic, 0, magic) !== 0) {
      return this.foreign("what arrived is no handle that sendConn or sendListener has sent");
    }
    const version = this.buffer[4];
    if (this.have > 4 && version !== VERSION) {
      return this.foreign(`the sender speaks version ${version}, this is version ${VERSION}`);
    }
    if (this.have < HEADER) return undefined;
    const length = this.buffer.readUInt16BE(6);
    if (length > MAX_PAYLOAD) return this.foreign(`a frame of ${length} bytes is none of ours`);
    this.length = HEADER + length;
    return undefined;
  }

  /** A stranger's bytes: they are put back, so that a read gets them, and the descriptors closed. */
  private foreign(text: string): Refused {
    const bytes = Uint8Array.from(this.buffer.subarray(0, this.have));
    this.forgetTransfer();
    this.nextFrame();
    this.channel.unread(bytes);
    return violation(text);
  }

  /** A whole frame is in the buffer. */
  private frame(): Refused | undefined {
    const flags = this.buffer[5] as number;
    const payload = Uint8Array.from(this.buffer.subarray(HEADER, this.length));
    if ((flags & FIRST) !== 0) this.forgetTransfer();
    else if (!this.begun) return this.broken("a handle arrived without its beginning");
    this.begun = true;
    const refused = (flags & HANDLE) !== 0 ? this.handle(payload) : this.piece(flags, payload);
    this.nextFrame();
    if (refused !== undefined) this.forgetTransfer();
    return refused;
  }

  private piece(flags: number, payload: Uint8Array): Refused | undefined {
    if (this.fds.length > 0 || this.dropped) {
      return violation("a descriptor arrived where none belongs");
    }
    this.leftover += payload.length;
    if (this.leftover > MAX_LEFTOVER) {
      return violation(`more than ${MAX_LEFTOVER} bytes had been put back`);
    }
    this.pieces.push(payload);
    if ((flags & END) !== 0) this.parts.push(Buffer.concat(this.pieces.splice(0)));
    return undefined;
  }

  private handle(payload: Uint8Array): Refused | undefined {
    if (this.dropped) {
      return {
        number: EMFILE,
        text: "the kernel dropped the descriptor that arrived: this process has no free one",
      };
    }
    const [sysfd, ...others] = this.fds;
    if (sysfd === undefined) return violation("no descriptor came along with the handle");
    if (this.surplus || others.length > 0) return violation("several descriptors came along");
    if (this.pieces.length > 0) return violation("a put-back has no end");
    const details = detailsOf(payload);
    if (details === undefined) return violation("the details of the handle can't be read");
    this.fds = [];
    this.complete = { details, sysfd, parts: this.parts.splice(0) };
    this.forgetTransfer();
    return undefined;
  }

  private broken(text: string): Refused {
    this.nextFrame();
    return violation(text);
  }

  private forgetTransfer(): void {
    this.begun = false;
    this.parts = [];
    this.pieces = [];
    this.leftover = 0;
  }

  private nextFrame(): void {
    for (const fd of this.fds) this.closeFd(fd);
    this.fds = [];
    this.surplus = this.dropped = false;
    this.have = 0;
    this.length = HEADER;
  }

  private closeFd(fd: number): void {
    this.channel.device.kernel.close(fd);
  }
}

const NETWORKS: readonly unknown[] = ["tcp", "tcp4", "tcp6", "unix", "unixpacket"];

/** What the payload says; undefined when it is not what framesOf has written. */
function detailsOf(payload: Uint8Array): Details | undefined {
  let value: Partial<Details> | null;
  try {
    value = JSON.parse(Buffer.from(payload).toString());
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { kind, network, remote, readShut, failed, path, identity } = value;
  const known = (kind === "conn" || kind === "listener") && NETWORKS.includes(network);
  const texts = [remote, path, identity].every((each) => typeof (each ?? "") === "string");
  const rest =
    (readShut === undefined || typeof readShut === "boolean") &&
    path?.includes("\0") !== true &&
    (failed === undefined || Number.isInteger(failed));
  return known && texts && rest ? (value as Details) : undefined;
}
