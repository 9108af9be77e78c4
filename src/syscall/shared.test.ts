/**
 * shared.test.ts: memory that threads share survives everything that a program writes into it: an
 * operation answers or throws, and reaches nothing outside.
 *
 * Locks are left alone here but for one test: an operation waits seconds for a lock before it gives up.
 *
 *   CORONET_SEED=1234              repeats a run
 *   CORONET_SHARED_ROUNDS=100000   makes it longer
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { seeded } from "../../testing/support.ts";
import type { Random } from "../internal/random.ts";
import { nativeKernel } from "./native.ts";

const ROUNDS = Number(process.env.CORONET_SHARED_ROUNDS ?? 3000);
const CHAN = 1;
const ATOMIC = 2;
const TABLE = 3;
/** Places of locks, in words. */
const CHAN_LOCKS = [256 / 4, 384 / 4];
const TABLE_LOCK = 64 / 4;

const kernel = nativeKernel();

/** Laid out memory between two pieces of this test's own, which nobody may touch. */
class Guarded {
  readonly whole: Uint8Array;
  readonly memory: Uint8Array;
  readonly words: Int32Array;

  constructor(bytes: number) {
    const buffer = new SharedArrayBuffer(bytes + 8192);
    this.whole = new Uint8Array(buffer).fill(0xa5);
    this.memory = new Uint8Array(buffer, 4096, bytes).fill(0);
    this.words = new Int32Array(buffer, 4096, bytes >> 2);
  }

  check(): void {
    const { whole } = this;
    const outside = Buffer.concat([whole.subarray(0, 4096), whole.subarray(-4096)]);
    assert.ok(outside.every((byte) => byte === 0xa5));
  }
}

function expected(error: unknown): void {
  assert.ok(error instanceof TypeError || error instanceof RangeError, String(error));
}

/** Words that mean something at the borders of what is allowed. */
function badWord(random: Random): number {
  const values = [0, 1, -1, 7, 8, 9, 64, 1024, 4096, 2 ** 31 - 1, -(2 ** 31), random.next() | 0];
  return values[random.below(values.length)] as number;
}

describe("a channel whose memory is overwritten", () => {
  test("answers or throws, whatever stands there", (t) => {
    const random = seeded(t);
    for (let round = 0; round < ROUNDS; round++) chanRound(random);
  });

  function chanRound(random: Random): void {
    const guarded = new Guarded(512 + 1024);
    kernel.chanFormat(guarded.memory, 1 + random.below(20));
    const id = kernel.sharedOpen(guarded.memory, CHAN);
    const message = new Uint8Array(1 + random.below(300));
    const into = new Uint8Array(2048);
    const steps: (() => unknown)[] = [
      () => kernel.chanSend(id * 16, message),
      () => kernel.chanSend(id * 16 + 2, "text"),
      () => kernel.chanSend(id * 16 + 4, 1.5),
      () => kernel.chanReceive(id * 16),
      () => kernel.chanReceiveInto(id, into, random.below(100), random.below(1000)),
      () => kernel.chanReady(id, random.below(2)),
      () => kernel.chanLength(id),
      () => kernel.chanDisarm(id, random.below(2)),
    ];
    for (let i = 0; i < 20; i++) {
      const at = random.below(guarded.words.length);
      if (random.chance(0.4) && !CHAN_LOCKS.includes(at)) {
        // Mostly the positions: what is read next depends on them.
        const place = random.chance(0.5) ? [65, 68, 97, 99][random.below(4)] : at;
        guarded.words[place as number] = badWord(random);
      }
      try {
        (steps[random.below(steps.length)] as () => unknown)();
      } catch (error) {
        expected(error);
      }
    }
    kernel.sharedClose(id);
    guarded.check();
  }

  test("is told apart from one that is not", () => {
    const { memory, words } = new Guarded(1024);
    kernel.chanFormat(memory, 4);
    const id = kernel.sharedOpen(memory, CHAN);
    kernel.chanSend(id * 16, new Uint8Array(8));
    words[128] = 1_000_000; // the length of the first message
    assert.throws(() => kernel.chanReceive(id * 16), /TypeError: .*overwritten/);
    words[65] = 12_345_678; // the tail
    assert.throws(() => kernel.chanReceive(id * 16), /TypeError: .*overwritten/);
    kernel.sharedClose(id);
  });

  test("in its lock gives up after some seconds", () => {
    const { memory, words } = new Guarded(1024);
    kernel.chanFormat(memory, 4);
    const id = kernel.sharedOpen(memory, CHAN);
    words[64] = 77;
    assert.throws(() => kernel.chanSend(id * 16, new Uint8Array(8)), /TypeError: .*overwritten/);
    kernel.sharedClose(id);
  });
});

describe("a table whose memory is overwritten", () => {
  test("answers or throws, whatever stands there", (t) => {
    const random = seeded(t);
    for (let round = 0; round < ROUNDS; round++) tableRound(random);
  });

  function tableRound(random: Random): void {
    const bytes = kernel.tableBytes(8, 16, 24);
    const guarded = new Guarded(bytes);
    kernel.tableFormat(guarded.memory, 8, 16, 24, random.next() | 0);
    const id = kernel.sharedOpen(guarded.memory, TABLE);
    const buckets = kernel.tableBuckets(id);
    const firstRow = (128 + buckets * 8) / 4;
    const isLock = (at: number): boolean =>
      at === TABLE_LOCK || (at >= 32 && at < firstRow && at % 2 === 0);
    const piece = new Uint8Array(new Int32Array([4, 8, 1, 2]).buffer);
    const key = (): string => `key ${random.below(12)}`;
    const out = new Uint8Array(256);
    const steps: (() => unknown)[] = [
      () => kernel.tableWrite(id, key(), piece, 0, piece.length),
      () => kernel.tableWrite(id, key(), piece, 0, piece.length),
      () => kernel.tableRead(id, key(), 0, 24),
      () => kernel.tableAdd(id, key(), 16, random.below(2), 1),
      () => kernel.tableDelete(id, key()),
      () => kernel.tableKeys(id, random.below(buckets), out, 0, random.below(256)),
      () => kernel.tableSize(id),
    ];
    for (let i = 0; i < 30; i++) {
      const at = random.below(guarded.words.length);
      if (random.chance(0.3) && !isLock(at)) guarded.words[at] = badWord(random);
      try {
        (steps[random.below(steps.length)] as () => unknown)();
      } catch (error) {
        expected(error);
      }
    }
    kernel.sharedClose(id);
    guarded.check();
  }

  test("refuses pieces that do not lie within a row", () => {
    const memory = new Uint8Array(new SharedArrayBuffer(kernel.tableBytes(2, 8, 16)));
    kernel.tableFormat(memory, 2, 8, 16, 1);
    const id = kernel.sharedOpen(memory, TABLE);
    const write = (words: number[], length = words.length * 4): number =>
      kernel.tableWrite(id, "k", new Uint8Array(new Int32Array(words).buffer), 0, length);
    for (const words of [
      [12, 8, 0, 0],
      [-4, 8, 0, 0],
      [0, -1, 0],
      [16, 1, 0],
      [0, 100],
    ]) {
      assert.throws(() => write(words), { name: "RangeError" }, String(words));
    }
    assert.throws(() => write([0, 4, 1], 11), { name: "RangeError" });
    assert.throws(() => write([0, 4, 1], 4), { name: "RangeError" });
    assert.equal(write([12, 4, 1]), 0);
    kernel.sharedClose(id);
  });
});

describe("shared memory is opened", () => {
  const formatted = (): Uint8Array => {
    const memory = new Uint8Array(new SharedArrayBuffer(2048));
    kernel.chanFormat(memory, 4);
    return memory;
  };

  test("once for each kind, whoever else has it open", () => {
    const memory = formatted();
    const id = kernel.sharedOpen(memory, CHAN);
    assert.equal(kernel.sharedOpen(memory, CHAN), id);
    assert.throws(() => kernel.sharedOpen(memory, ATOMIC), { name: "TypeError" });
    kernel.sharedClose(id);
    assert.equal(kernel.chanLength(id), 0);
    kernel.sharedClose(id);
    assert.throws(() => kernel.chanLength(id), { name: "TypeError" });
  });

  test("not when it was not laid out, is too small, or is somebody's own", () => {
    assert.throws(() => kernel.sharedOpen(new Uint8Array(new SharedArrayBuffer(4096)), CHAN), {
      name: "TypeError",
    });
    assert.throws(() => kernel.sharedOpen(new Uint8Array(new SharedArrayBuffer(8)), CHAN), {
      name: "RangeError",
    });
    assert.throws(() => kernel.sharedOpen(new Uint8Array(4096), CHAN), { name: "TypeError" });
    const memory = formatted();
    assert.throws(() => kernel.sharedOpen(memory.subarray(0, 1024), CHAN), { name: "TypeError" });
    const shifted = new Uint8Array(new SharedArrayBuffer(4096), 4);
    assert.throws(() => kernel.chanFormat(shifted, 4), { name: "RangeError" });
  });

  test("not when its header is overwritten: whatever stands there", (t) => {
    const random = seeded(t);
    for (let round = 0; round < ROUNDS; round++) {
      const memory = formatted();
      new Int32Array(memory.buffer)[random.below(7)] = badWord(random);
      try {
        const id = kernel.sharedOpen(memory, CHAN);
        kernel.chanSend(id * 16, new Uint8Array(100));
        kernel.sharedClose(id);
      } catch (error) {
        expected(error);
      }
    }
  });

  test("and laid out only once", () => {
    const memory = formatted();
    assert.throws(() => kernel.chanFormat(memory, 4), { name: "TypeError" });
    assert.throws(() => kernel.atomicFormat(memory), { name: "TypeError" });
  });
});
