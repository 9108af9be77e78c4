/**
 * slots.ts: the shared memory through which one thread's datagrams pass, many in one system call.
 *
 * Its layout is also written down in native/datagram.c: SLOTS heads (length, length of the sockaddr,
 * the sockaddr), then SLOTS places for the bytes. As with the scratch buffer, the content is nobody's:
 * whoever receives takes it out before anything else can run, whoever sends puts it in right before.
 *
 * The memory is 4 MiB of addresses; what the kernel never wrote to costs nothing.
 */
import { endianness } from "node:os";
import { AF_UNIX } from "./constants.ts";
import type { DatagramKernel } from "./kernel.ts";

/** Datagrams that one system call moves at most. */
export const SLOTS = 64;
/** Largest datagram that fits into a slot; one over UDP is never larger. */
export const SLOT_SIZE = 65_536;

const HEAD_SIZE = 128;
const HEAD_WORDS = HEAD_SIZE / 4;
/** In words from the begin of a head. */
const NAME_LENGTH = 1;
const NAME = 2;
const DATA_AT = SLOTS * HEAD_SIZE;
const DATA_STRIDE = SLOT_SIZE + 192;
const MEMORY_SIZE = DATA_AT + SLOTS * DATA_STRIDE;

const little = endianness() === "LE";

/** A sockaddr in whole words, as slots hold it: quick to copy and to compare. Immutable. */
export class Sockaddr {
  readonly words: Int32Array;
  /** In bytes. */
  readonly length: number;

  constructor(words: Int32Array, length: number) {
    this.words = words;
    this.length = length;
  }

  static of(bytes: Uint8Array): Sockaddr {
    const words = new Int32Array((bytes.length + 3) >> 2);
    new Uint8Array(words.buffer).set(bytes);
    return new Sockaddr(words, bytes.length);
  }

  get bytes(): Uint8Array {
    return new Uint8Array(this.words.buffer, this.words.byteOffset, this.length);
  }

  get family(): number {
    // A unix socket without a name is told by no bytes at all.
    if (this.words.length === 0) return AF_UNIX;
    const word = this.words[0] as number;
    return little ? word & 0xffff : word >>> 16;
  }
}

export class Slots {
  readonly memory: Uint8Array;
  private readonly heads: Int32Array;

  constructor(memory: Uint8Array = new Uint8Array(new SharedArrayBuffer(MEMORY_SIZE))) {
    this.memory = memory;
    this.heads = new Int32Array(memory.buffer, 0, DATA_AT / 4);
  }

  /** The whole length of the datagram that was received into a slot; the slot may hold less. */
  size(slot: number): number {
    return this.heads[slot * HEAD_WORDS] as number;
  }

  /** Where a slot's bytes begin in `memory`. */
  at(slot: number): number {
    return DATA_AT + slot * DATA_STRIDE;
  }

  /** Puts a datagram into a slot, to be sent; it has at most SLOT_SIZE bytes. */
  put(slot: number, bytes: Uint8Array, to: Sockaddr): void {
    this.memory.set(bytes, DATA_AT + slot * DATA_STRIDE);
    this.heads[slot * HEAD_WORDS] = bytes.length;
    this.putName(slot, to);
  }

  putName(slot: number, { words, length }: Sockaddr): void {
    const { heads } = this;
    const at = slot * HEAD_WORDS;
    heads[at + NAME_LENGTH] = length;
    for (let i = 0; i < words.length; i++) heads[at + NAME + i] = words[i] as number;
  }

  /** The sender of the datagram in a slot. */
  name(slot: number): Sockaddr {
    const at = slot * HEAD_WORDS;
    const length = this.heads[at + NAME_LENGTH] as number;
    return new Sockaddr(this.heads.slice(at + NAME, at + NAME + ((length + 3) >> 2)), length);
  }

  /** Whether that is the sender of the datagram in a slot. */
  isName(slot: number, { words, length }: Sockaddr): boolean {
    const { heads } = this;
    const at = slot * HEAD_WORDS;
    if (heads[at + NAME_LENGTH] !== length) return false;
    for (let i = 0; i < words.length; i++) if (heads[at + NAME + i] !== words[i]) return false;
    return true;
  }

  /** A number that differs for most senders. */
  hash(slot: number): number {
    const { heads } = this;
    const at = slot * HEAD_WORDS;
    const end = at + NAME + (((heads[at + NAME_LENGTH] as number) + 3) >> 2);
    let hash = 0;
    for (let i = at + NAME; i < end; i++) hash = Math.imul(hash ^ (heads[i] as number), 0x9e3779b1);
    return hash ^ (hash >>> 15);
  }
}

let slots: Slots | undefined;
/** Who has been told where they are. A test may have a second kernel in its thread. */
const told = new WeakSet<DatagramKernel>();

/** This thread's slots, made when they are first needed. */
export function slotsFor(kernel: DatagramKernel): Slots {
  slots ??= new Slots();
  if (!told.has(kernel)) {
    told.add(kernel);
    kernel.setSlots(slots.memory);
  }
  return slots;
}
