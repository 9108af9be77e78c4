/**
 * tls_kernel.ts: TLS as a kernel: the calls that move bytes have the same shape as on a bare socket, so
 * that the fd above (tls_fd.ts) has everything that an fd has.
 *
 * After each call `tlsStatus[0]` says what the fd above cannot know from the result alone; before each
 * read `tlsStatus[1]` says what the kernel below cannot know.
 */
import type { Poller } from "../runtime/netpoll.ts";
import type { Device, Runtime } from "../runtime/runtime.ts";
import { SHUT_WR } from "../syscall/constants.ts";
import type { NativeKernel, StreamKernel } from "../syscall/kernel.ts";

/** A read can go on without the socket having become readable again. */
export const MORE = 1;
/** Sealed records wait for the socket to become writable. */
export const UNFLUSHED_RECORDS = 2;
/** The handshake waits for an answer to the client's hello. */
export const HELLO = 4;

/** The status words of this thread: [0] comes from the addon, [1] tells it that short reads prove nothing. */
export const tlsStatus = new Int32Array(new SharedArrayBuffer(8));

export class TlsKernel implements StreamKernel {
  readonly native: NativeKernel;

  constructor(native: NativeKernel) {
    this.native = native;
  }

  recv(fd: number, buffer: Uint8Array, offset: number, length: number): number {
    return this.native.tlsRecv(fd, buffer, offset, length);
  }

  recvScratch(fd: number): number {
    return this.native.tlsRecvScratch(fd);
  }

  recvPacket(fd: number, buffer: Uint8Array, offset: number, length: number): number {
    return this.native.tlsRecv(fd, buffer, offset, length);
  }

  peek(fd: number): number {
    return this.native.tlsPeek(fd);
  }

  send(fd: number, buffer: Uint8Array, offset: number, length: number): number {
    return this.native.tlsSend(fd, buffer, offset, length);
  }

  sendScratch(fd: number, length: number): number {
    return this.native.tlsSendScratch(fd, length);
  }

  writev(fd: number, chunks: readonly Uint8Array[], first: number, offset: number): number {
    return this.native.tlsWritev(fd, chunks, first, offset);
  }

  /** The end of writing is a message of its own; to end reading, nothing has to be said. */
  shutdown(fd: number, how: number): number {
    return how === SHUT_WR ? this.native.tlsShutdown(fd) : 0;
  }

  unsent(fd: number): number {
    const { native } = this;
    return native.tlsFlush(fd) < 0 ? 1 : native.unsent(fd);
  }

  close(fd: number): number {
    this.native.tlsClose(fd);
    return this.native.close(fd);
  }
}

/** Where a TLS fd lives: the poller is the sockets' own. */
export class TlsDevice implements Device<TlsKernel> {
  readonly kernel: TlsKernel;
  readonly runtime: Runtime;

  constructor(runtime: Runtime, native: NativeKernel) {
    this.runtime = runtime;
    this.kernel = new TlsKernel(native);
  }

  get poller(): Poller {
    return this.runtime.poller;
  }
}

const devices = new WeakMap<Runtime, TlsDevice | string>();

const REASONS = ["", "exports no OpenSSL", "exports an OpenSSL that is not version 3"];

function open(runtime: Runtime): TlsDevice | string {
  const native = runtime.kernel as Partial<NativeKernel>;
  if (typeof native.tlsInit !== "function") return "";
  const found = native.tlsInit(tlsStatus);
  if (found === 0) return new TlsDevice(runtime, native as NativeKernel);
  return `this runtime ${REASONS[found] ?? "has no memory for it"}`;
}

/** The runtime's TLS device; a text where there is none, which says why unless that is known ("") . */
export function tlsDevice(runtime: Runtime): TlsDevice | string {
  let device = devices.get(runtime);
  if (device === undefined) {
    device = process.env.CORONET_TLS === "node" ? "" : open(runtime);
    devices.set(runtime, device);
  }
  return device;
}
