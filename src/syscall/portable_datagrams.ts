/** portable_datagrams.ts: the calls for datagrams on sockets of node:dgram; one by one, if many. */
import { SHUT_WR } from "./constants.ts";
import { DuplexKernel } from "./duplex_kernel.ts";
import { EBADF, ENODEV } from "./errno.ts";
import type { DatagramKernel } from "./kernel.ts";
import { interfaceIndex, type PortableDatagram } from "./portable_datagram.ts";
import { scratch } from "./scratch.ts";
import { Slots } from "./slots.ts";

export abstract class DatagramTable extends DuplexKernel implements DatagramKernel {
  protected readonly datagrams = new Map<number, PortableDatagram>();
  private slots!: Slots;

  setSlots(memory: Uint8Array): void {
    this.slots = new Slots(memory);
  }

  recvfrom(fd: number, buffer: Uint8Array, offset: number, length: number): number {
    const got = this.datagrams.get(fd)?.receive() ?? -EBADF;
    if (typeof got === "number") return got;
    const { bytes, from } = got;
    this.slots.putName(0, from);
    buffer.set(bytes.length > length ? bytes.subarray(0, length) : bytes, offset);
    return bytes.length;
  }

  recvmmsg(fd: number, count: number): number {
    const datagram = this.datagrams.get(fd);
    if (datagram === undefined) return -EBADF;
    for (let i = 0; i < count; i++) {
      // An error ends the batch; it is the next call's.
      if (i > 0 && datagram.peek() !== 1) return i;
      const got = datagram.receive();
      if (typeof got === "number") return got;
      this.slots.put(i, got.bytes, got.from);
    }
    return count;
  }

  sendto(
    fd: number,
    buffer: Uint8Array,
    offset: number,
    length: number,
    nameLength: number,
  ): number {
    const datagram = this.datagrams.get(fd);
    if (datagram === undefined) return -EBADF;
    const to = nameLength === 0 ? undefined : this.slots.name(0).bytes;
    // A copy: the bytes are the caller's again when this returns.
    return datagram.send(Buffer.from(buffer.subarray(offset, offset + length)), to);
  }

  sendScratchTo(fd: number, length: number, nameLength: number): number {
    return this.sendto(fd, scratch, 0, length, nameLength);
  }

  sendmmsg(fd: number, count: number): number {
    const datagram = this.datagrams.get(fd);
    if (datagram === undefined) return -EBADF;
    const { slots } = this;
    for (let i = 0; i < count; i++) {
      const bytes = slots.memory.slice(slots.at(i), slots.at(i) + slots.size(i));
      const n = datagram.send(bytes, slots.name(i).bytes);
      if (n < 0) return i > 0 ? i : n;
    }
    return count;
  }

  ifNameToIndex(name: Uint8Array): number {
    return interfaceIndex(Buffer.from(name).toString()) || -ENODEV;
  }

  override writev(
    fd: number,
    chunks: readonly Uint8Array[],
    first: number,
    offset: number,
  ): number {
    const datagram = this.datagrams.get(fd);
    return datagram === undefined
      ? super.writev(fd, chunks, first, offset)
      : datagram.send(Buffer.concat(chunks));
  }

  override peek(fd: number): number {
    return this.datagrams.get(fd)?.peek() ?? super.peek(fd);
  }

  override shutdown(fd: number, how: number): number {
    const datagram = this.datagrams.get(fd);
    if (datagram === undefined) return super.shutdown(fd, how);
    if (how === SHUT_WR) datagram.shutWrite();
    return 0;
  }
}
