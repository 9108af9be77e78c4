/** fairness.ts: facts about a busy connection's neighbours. Counted, not timed. */
import assert from "node:assert/strict";
import { type Conn, go } from "../../src/index.ts";
import { failure, inMs, turn, writeTooMuch } from "../support.ts";
import type { FactTable } from "./fact.ts";

/** So much may pass before a neighbour that made no progress counts as starved. */
const STARVED = 512 << 20;

/** A goroutine that writes as fast as it can, and one that reads; both end when `stop` says so. */
class Firehose {
  moved = 0;
  stopped = false;
  private readonly ends: Promise<unknown>[];

  constructor(from: Conn, to: Conn) {
    this.ends = [go(() => this.write(from)).join(), go(() => this.read(to)).join()];
  }

  private async write(conn: Conn): Promise<void> {
    const bytes = new Uint8Array(65_536);
    while (!this.stopped && this.moved < STARVED) await conn.write(bytes);
    await conn.closeWrite();
  }

  private async read(conn: Conn): Promise<void> {
    const buffer = new Uint8Array(65_536);
    for (;;) {
      const n = await conn.read(buffer);
      if (n === null) return;
      this.moved += n;
    }
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.ends);
    assert.ok(this.moved < STARVED, `${this.moved} bytes moved before the neighbour had its turn`);
  }
}

function hostTimers(count: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      if (--count > 0) return;
      clearInterval(timer);
      resolve();
    }, 1);
  });
}

export const fairness = {
  "a busy connection does not starve the timers of the program": async ({ a, b }) => {
    const firehose = new Firehose(a, b);
    await hostTimers(10);
    await firehose.stop();
  },

  "a busy connection does not starve setImmediate": async ({ a, b }) => {
    const firehose = new Firehose(a, b);
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    await firehose.stop();
  },

  "a loop of reads that never have to wait lets the program have its turn": async ({ a, b }) => {
    const available = 60_000;
    writeTooMuch(a).catch(() => {});
    await turn();
    // Through some layers the first bytes take longer than a turn.
    await b.waitReadable();
    let reads = 0;
    const reader = go(async () => {
      const one = new Uint8Array(1);
      for (; reads < available; reads++) assert.equal(await b.read(one), 1);
    });
    await turn();
    await turn();
    assert.ok(reads > 0 && reads < available / 2, `${reads} reads before anybody else had a turn`);
    await reader.join();
  },

  "a busy connection does not starve a deadline": async ({ a, b }) => {
    const firehose = new Firehose(a, b);
    a.setReadDeadline(inMs(10));
    await failure(a.read(new Uint8Array(1)), "ERR_DEADLINE");
    await firehose.stop();
  },

  "a busy direction does not starve the other": async ({ a, b }) => {
    const firehose = new Firehose(a, b);
    const buffer = new Uint8Array(16);
    for (let i = 0; i < 100; i++) {
      const reading = a.read(buffer);
      await b.write("x");
      assert.equal(await reading, 1);
    }
    await firehose.stop();
  },
} satisfies FactTable;
