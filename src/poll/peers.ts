/**
 * peers.ts: who sent a datagram: one address object for each sender, as long as it is remembered.
 *
 * A table with one place for each value of a hash: the newest sender of a place stays. So it is
 * bounded whoever sends, and a sender that lost its place costs a new object, nothing else.
 */
import type { Slots, Sockaddr } from "../syscall/slots.ts";

/** What the user sees of a sender; made by the layer above. */
export interface PeerAddr {
  readonly network: string;
  toString(): string;
}

const PLACES = 4096;

export class Peers {
  /** The address of a sockaddr. */
  readonly addrOf: (name: Sockaddr) => PeerAddr;
  private readonly names: (Sockaddr | undefined)[] = [];
  private readonly addrs: PeerAddr[] = [];

  constructor(addrOf: (name: Sockaddr) => PeerAddr) {
    this.addrOf = addrOf;
  }

  /** The sender of the datagram in a slot. */
  sender(slots: Slots, slot: number): PeerAddr {
    if (this.names.length === 0) this.names.length = this.addrs.length = PLACES;
    const place = slots.hash(slot) & (PLACES - 1);
    const known = this.names[place];
    if (known !== undefined && slots.isName(slot, known)) return this.addrs[place] as PeerAddr;
    const name = slots.name(slot);
    const addr = this.addrOf(name);
    this.names[place] = name;
    this.addrs[place] = addr;
    return addr;
  }
}
