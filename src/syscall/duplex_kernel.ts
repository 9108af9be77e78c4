/**
 * duplex_kernel.ts: a kernel whose fds are Node's streams.
 *
 * Its fd numbers are its own and mean nothing to the operating system.
 */
import type { Duplex } from "node:stream";
import { SHUT_WR } from "./constants.ts";
import { DuplexEnd } from "./duplex_end.ts";
import { EAGAIN, EBADF } from "./errno.ts";
import type { Readiness, StreamSource } from "./kernel.ts";
import { scratch } from "./scratch.ts";

/** Bytes that one call hands over: the loop has other work, too. */
const MOST_AT_ONCE = 1 << 20;

export class DuplexKernel implements StreamSource {
  protected readonly ends = new Map<number, DuplexEnd>();
  private lastFd = 0;

  /** Takes a stream over: its fd. `verdict`: see DuplexEnd. */
  adopt(stream: Duplex, verdict?: () => number): number {
    const fd = this.newFd();
    this.adoptAs(fd, stream, verdict);
    return fd;
  }

  protected adoptAs(fd: number, stream: Duplex, verdict?: () => number): DuplexEnd {
    const end = new DuplexEnd(stream, verdict);
    this.ends.set(fd, end);
    return end;
  }

  /** A number that was never given before. */
  protected newFd(): number {
    return ++this.lastFd;
  }

  recv(fd: number, buffer: Uint8Array, offset: number, length: number): number {
    return this.ends.get(fd)?.recv(buffer.subarray(offset, offset + length)) ?? -EBADF;
  }

  recvScratch(fd: number): number {
    return this.ends.get(fd)?.recv(scratch) ?? -EBADF;
  }

  recvPacket(fd: number, buffer: Uint8Array, offset: number, length: number): number {
    return this.recv(fd, buffer, offset, length);
  }

  peek(fd: number): number {
    return this.ends.get(fd)?.peek() ?? -EBADF;
  }

  send(fd: number, buffer: Uint8Array, offset: number, length: number): number {
    const end = this.ends.get(fd);
    if (end === undefined) return -EBADF;
    const most = Math.min(length, MOST_AT_ONCE);
    let sent = 0;
    // A stream that passes on at once what it is given takes the next piece right away.
    while (sent < most) {
      const room = end.room();
      if (room < 0) return sent > 0 ? sent : room;
      const n = Math.min(room, most - sent);
      // A copy: the bytes are the caller's again when this returns.
      end.send(Buffer.from(buffer.subarray(offset + sent, offset + sent + n)));
      sent += n;
    }
    if (sent < length) end.wantRoom();
    return sent;
  }

  sendScratch(fd: number, length: number): number {
    return this.send(fd, scratch, 0, length);
  }

  /** All that there is room for goes out in one piece: it has to be copied anyway. */
  writev(fd: number, chunks: readonly Uint8Array[], first: number, offset: number): number {
    const end = this.ends.get(fd);
    if (end === undefined) return -EBADF;
    const room = end.room();
    if (room < 0) return room;
    const parts: Uint8Array[] = [];
    let n = 0;
    for (let i = first, skip = offset; i < chunks.length && n < room; i++, skip = 0) {
      const part = (chunks[i] as Uint8Array).subarray(skip, skip + room - n);
      parts.push(part);
      n += part.length;
    }
    if (n === 0) return -EAGAIN;
    end.send(Buffer.concat(parts, n));
    if (n === room) end.wantRoom();
    return n;
  }

  shutdown(fd: number, how: number): number {
    const end = this.ends.get(fd);
    if (end === undefined) return -EBADF;
    if (how === SHUT_WR) end.shutWrite();
    else end.shutRead();
    return 0;
  }

  unsent(fd: number): number {
    return this.ends.get(fd)?.unsent ?? -EBADF;
  }

  close(fd: number): number {
    const end = this.ends.get(fd);
    if (end === undefined) return -EBADF;
    this.ends.delete(fd);
    end.close();
    return 0;
  }

  watch(fd: number, readiness: Readiness): void {
    this.ends.get(fd)?.watch(readiness);
  }
}
