/**
 * poller_suite.ts: the conformance suite of a poller backend: what src/runtime/netpoll.ts promises.
 *
 * Each backend runs it, over the real kernel and over a fake one. What a backend needs of its kernel
 * to be tested is a PollerEnv.
 */
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, type TestContext, test } from "node:test";
import {
  ARMED,
  HANGUP,
  type PollCache,
  type PollDesc,
  type Poller,
  parkRead,
  parkWrite,
  READY,
} from "../src/runtime/netpoll.ts";
import type { Waiter } from "../src/runtime/sched.ts";

/** A backend and the kernel under it. One is made for each test. */
export interface PollerEnv {
  poller: Poller;
  cache: PollCache;
  /** Two connected, non-blocking stream sockets. */
  pair(): [number, number];
  /** Sends n bytes; how many were taken, or a negative errno. */
  send(fd: number, n: number): number;
  /** Receives at most n bytes; 0 at the end, or a negative errno. */
  receive(fd: number, n: number): number;
  /** Ends writing: the peer sees the end of the stream. */
  endWrite(fd: number): void;
  close(fd: number): void;
  /** fds that are open in this process, or in this fake kernel. */
  openFds(): number;
  /** Milliseconds of the clock that timeouts are measured by. */
  now(): number;
  /** Makes the backend's next poll be interrupted by a signal; absent where that cannot be done. */
  interrupt?(): void;
  /** Makes the next n calls that create something fail; absent where that cannot be done. */
  failCreation?(n: number): void;
  /**
   * Wakes the poller so often from another thread, as fast as it can; resolves when the thread is
   * ready to begin, and `begin` makes it begin. Absent where the kernel has no threads.
   */
  otherThread?(wakes: number): Promise<{ begin(): void; ended(): boolean; join(): Promise<void> }>;
  /** Closes everything. */
  dispose(): void;
}

class Parked implements Waiter {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  ready(): void {}
}

const NOTHING: readonly Waiter[] = [];

/** Registers the suite with node:test. */
export function pollerSuite(name: string, make: () => PollerEnv): void {
  describe(`poller: ${name}`, () => {
    let env: PollerEnv;
    let used: PollDesc[];

    beforeEach(() => {
      env = make();
      used = [];
    });

    afterEach(() => {
      for (const pd of used) env.cache.free(pd);
      env.dispose();
    });

    /** Opens an fd whose sides wait for an event. */
    function open(fd: number): PollDesc {
      const pd = env.cache.alloc();
      used.push(pd);
      pd.rg = pd.wg = null;
      assert.equal(env.poller.open(fd, pd), 0);
      return pd;
    }

    /** A pair of which the first is open, armed and has no event left. */
    function armedPair(): [a: number, b: number, pd: PollDesc] {
      env.poller.init();
      const [a, b] = env.pair();
      const pd = open(a);
      env.poller.poll(0);
      pd.rg = pd.wg = null;
      return [a, b, pd];
    }

    /** What a poll that need not wait returns. */
    function ready(): Waiter[] {
      return [...env.poller.poll(0)];
    }

    /** Polls until something is runnable. */
    function wait(): Waiter[] {
      return [...env.poller.poll(1000)];
    }

    describe("init", () => {
      test("opens what the poller needs, once", () => {
        const before = env.openFds();
        assert.equal(env.poller.init(), 0);
        const opened = env.openFds() - before;
        assert.ok(opened > 0);
        assert.equal(env.poller.init(), 0);
        assert.equal(env.openFds() - before, opened);
      });

      test("nothing is opened before it", () => {
        const before = env.openFds();
        make().dispose();
        assert.equal(env.openFds(), before);
      });

      test("one that fails leaves nothing behind and can be tried again", (t: TestContext) => {
        if (env.failCreation === undefined) return t.skip("this kernel cannot be made to fail");
        const before = env.openFds();
        let failures = 0;
        for (let failing = 1; failing <= 3; failing++) {
          env.failCreation(failing);
          const result = env.poller.init();
          if (result === 0) break;
          failures++;
          assert.ok(result < 0);
          assert.equal(env.openFds(), before);
        }
        assert.ok(failures > 0);
        env.failCreation(0);
        assert.equal(env.poller.init(), 0);
        assert.ok(env.openFds() > before);
      });

      test("isPollDescriptor is true for the poller's own fds and no others", () => {
        const [other] = env.pair();
        assert.equal(env.poller.isPollDescriptor(other), false);
        env.poller.init();
        assert.equal(env.poller.isPollDescriptor(other), false);
        const own = Array.from({ length: 256 }, (_, fd) => fd).filter((fd) =>
          env.poller.isPollDescriptor(fd),
        );
        assert.ok(own.length > 0);
        assert.ok(!own.includes(other));
      });
    });

    describe("open", () => {
      test("arms the descriptor", () => {
        env.poller.init();
        const [a] = env.pair();
        const pd = open(a);
        assert.ok((pd.flags & ARMED) !== 0);
        env.poller.close(a, pd);
        assert.equal(pd.flags & ARMED, 0);
      });

      test("reports what is true already", () => {
        env.poller.init();
        const [a, b] = env.pair();
        assert.equal(env.send(b, 3), 3);
        const pd = open(a);
        const reader = new Parked("reader");
        const writer = new Parked("writer");
        parkRead(pd, reader);
        parkWrite(pd, writer);
        const runnable = wait();
        assert.deepEqual(new Set(runnable), new Set([reader, writer]));
      });

      test("reports an end of stream that came before it", () => {
        env.poller.init();
        const [a, b] = env.pair();
        env.endWrite(b);
        const pd = open(a);
        const reader = new Parked("reader");
        parkRead(pd, reader);
        assert.ok(wait().includes(reader));
        assert.ok((pd.flags & HANGUP) !== 0);
      });
    });

    describe("poll", () => {
      test("returns the goroutines that became runnable, each once", () => {
        const [, b, pd] = armedPair();
        const reader = new Parked("reader");
        parkRead(pd, reader);
        assert.equal(env.send(b, 5), 5);
        assert.deepEqual(wait(), [reader]);
        assert.deepEqual(ready(), NOTHING);
      });

      test("an event that nobody waits for makes the side ready, and nobody runnable", () => {
        const [, b, pd] = armedPair();
        assert.equal(env.send(b, 1), 1);
        assert.deepEqual(wait(), NOTHING);
        assert.equal(pd.rg, READY);
      });

      test("data wakes the reader, not a writer for whom there is no room", () => {
        const [a, b, pd] = armedPair();
        fill(a);
        env.poller.poll(0);
        const reader = new Parked("reader");
        const writer = new Parked("writer");
        pd.rg = pd.wg = null;
        parkRead(pd, reader);
        parkWrite(pd, writer);
        assert.equal(env.send(b, 1), 1);
        assert.deepEqual(wait(), [reader]);
        assert.equal(pd.wg, writer);
      });

      test("room wakes the writer after it was told that there is none", () => {
        const [a, b, pd] = armedPair();
        fill(a);
        env.poller.poll(0);
        const writer = new Parked("writer");
        pd.wg = null;
        parkWrite(pd, writer);
        while (env.receive(b, 65_536) > 0);
        assert.deepEqual(wait(), [writer]);
      });

      test("the same data makes no second edge, more data does", () => {
        const [, b, pd] = armedPair();
        assert.equal(env.send(b, 10), 10);
        assert.deepEqual(wait(), NOTHING);
        const reader = new Parked("reader");
        pd.rg = null;
        parkRead(pd, reader);
        assert.deepEqual(ready(), NOTHING, "unread data must not be reported again");
        assert.equal(env.send(b, 1), 1);
        assert.deepEqual(wait(), [reader]);
      });

      test("the end of the stream wakes the reader and is remembered", () => {
        const [a, b, pd] = armedPair();
        const reader = new Parked("reader");
        parkRead(pd, reader);
        env.endWrite(b);
        assert.deepEqual(wait(), [reader]);
        assert.ok((pd.flags & HANGUP) !== 0);
        assert.equal(env.receive(a, 8), 0);
      });

      test("data and the end of the stream may share one edge, which then says hangup", () => {
        const [a, b, pd] = armedPair();
        const reader = new Parked("reader");
        parkRead(pd, reader);
        assert.equal(env.send(b, 4), 4);
        env.endWrite(b);
        assert.deepEqual(settleAll(), [reader]);
        assert.ok((pd.flags & HANGUP) !== 0);
        assert.equal(env.receive(a, 100), 4);
        assert.equal(env.receive(a, 100), 0);
      });

      test("data alone does not say hangup", () => {
        const [, b, pd] = armedPair();
        assert.equal(env.send(b, 4), 4);
        assert.deepEqual(wait(), NOTHING);
        assert.equal(pd.flags & HANGUP, 0);
      });

      test("a peer that is gone wakes reader and writer", () => {
        const [a, b, pd] = armedPair();
        fill(a);
        env.poller.poll(0);
        const reader = new Parked("reader");
        const writer = new Parked("writer");
        pd.rg = pd.wg = null;
        parkRead(pd, reader);
        parkWrite(pd, writer);
        env.close(b);
        assert.deepEqual(new Set(settleAll()), new Set([reader, writer]));
        assert.ok((pd.flags & HANGUP) !== 0);
      });

      test("events of many descriptors come in one poll", () => {
        env.poller.init();
        const pairs = Array.from({ length: 40 }, () => env.pair());
        const readers = pairs.map(([a], i) => {
          const pd = open(a);
          return { pd, reader: new Parked(`reader ${i}`) };
        });
        env.poller.poll(0);
        for (const { pd, reader } of readers) {
          pd.rg = null;
          parkRead(pd, reader);
        }
        for (const [, b] of pairs) assert.equal(env.send(b, 1), 1);
        const runnable = settleAll();
        assert.deepEqual(new Set(runnable), new Set(readers.map(({ reader }) => reader)));
        assert.equal(runnable.length, 40);
      });

      test("with 0 it asks and does not wait", () => {
        armedPair();
        const before = env.now();
        assert.deepEqual(ready(), NOTHING);
        assert.ok(env.now() - before < 500);
      });

      test("with a timeout it never returns early", () => {
        armedPair();
        for (const timeout of [1, 3, 20]) {
          const before = env.now();
          assert.deepEqual(env.poller.poll(timeout), NOTHING);
          const waited = env.now() - before;
          assert.ok(waited >= timeout, `waited ${waited} of ${timeout} ms`);
          assert.ok(waited < timeout + 5000, `waited ${waited} for ${timeout} ms`);
        }
      });

      test("an event ends a wait without limit", () => {
        const [, b, pd] = armedPair();
        const reader = new Parked("reader");
        parkRead(pd, reader);
        assert.equal(env.send(b, 1), 1);
        assert.deepEqual(env.poller.poll(-1), [reader]);
      });

      test("a signal does not end a wait without limit", (t: TestContext) => {
        if (env.interrupt === undefined) return t.skip("this kernel takes no signals from a test");
        const [, b, pd] = armedPair();
        const reader = new Parked("reader");
        parkRead(pd, reader);
        assert.equal(env.send(b, 1), 1);
        env.interrupt();
        assert.deepEqual(env.poller.poll(-1), [reader]);
      });
    });

    describe("a descriptor that is closed", () => {
      test("gets no more events, though its number is used again", () => {
        const [a, b, pd] = armedPair();
        const reader = new Parked("reader");
        parkRead(pd, reader);
        env.poller.close(a, pd);
        env.close(a);
        env.close(b);
        const [c, d] = env.pair();
        const other = open(c);
        env.poller.poll(0);
        other.rg = null;
        const next = new Parked("next");
        parkRead(other, next);
        assert.equal(env.send(d, 1), 1);
        assert.deepEqual(settleAll(), [next]);
        assert.equal(pd.rg, reader);
      });

      test("an event for its earlier use touches nobody who has its slot now", () => {
        const [, b, pd] = armedPair();
        // Freed while the kernel still watches, as when another process holds a copy of the fd.
        env.cache.free(pd);
        used.pop();
        const heir = env.cache.alloc();
        used.push(heir);
        assert.equal(heir.slot, pd.slot);
        heir.rg = heir.wg = null;
        const reader = new Parked("reader");
        parkRead(heir, reader);
        assert.equal(env.send(b, 1), 1);
        env.endWrite(b);
        assert.deepEqual(settleAll(), NOTHING);
        assert.equal(heir.rg, reader);
        assert.equal(heir.flags, 0);
      });

      test("others can be opened and closed between polls without a trace", () => {
        const [, b, pd] = armedPair();
        for (let round = 0; round < 50; round++) {
          const [c, d] = env.pair();
          const other = open(c);
          env.send(d, 1);
          if (round % 2 === 0) env.poller.poll(0);
          env.poller.close(c, other);
          env.close(c);
          env.close(d);
        }
        env.poller.poll(0);
        const reader = new Parked("reader");
        pd.rg = null;
        parkRead(pd, reader);
        assert.equal(env.send(b, 1), 1);
        assert.deepEqual(settleAll(), [reader]);
      });
    });

    describe("wake", () => {
      test("ends a wait without limit", () => {
        armedPair();
        env.poller.wake();
        assert.deepEqual(env.poller.poll(-1), NOTHING);
      });

      test("many wake-ups are one", () => {
        armedPair();
        for (let i = 0; i < 1000; i++) env.poller.wake();
        assert.deepEqual(env.poller.poll(-1), NOTHING);
        const before = env.now();
        assert.deepEqual(env.poller.poll(10), NOTHING);
        assert.ok(env.now() - before >= 10, "a wake-up was left over");
      });

      test("works again after it has worked", () => {
        armedPair();
        for (let i = 0; i < 100; i++) {
          env.poller.wake();
          assert.deepEqual(env.poller.poll(-1), NOTHING);
        }
      });

      test("loses no event that comes with it", () => {
        const [, b, pd] = armedPair();
        const reader = new Parked("reader");
        parkRead(pd, reader);
        env.poller.wake();
        assert.equal(env.send(b, 1), 1);
        assert.deepEqual(settleAll(), [reader]);
      });

      test("works from another thread, however they race", async (t: TestContext) => {
        if (env.otherThread === undefined) return t.skip("this kernel has no threads");
        armedPair();
        const thread = await env.otherThread(20_000);
        thread.begin();
        // Each poll ends by a wake-up; the thread never stops waking before it has ended.
        while (!thread.ended()) env.poller.poll(1);
        await thread.join();
        env.poller.poll(0);
        const before = env.now();
        env.poller.wake();
        env.poller.poll(5000);
        assert.ok(env.now() - before < 4000, "a wake-up got lost in the race");
      });

      test("ends a wait that another thread interrupts", async (t: TestContext) => {
        if (env.otherThread === undefined) return t.skip("this kernel has no threads");
        armedPair();
        const thread = await env.otherThread(1);
        thread.begin();
        assert.deepEqual(env.poller.poll(-1), NOTHING);
        await thread.join();
      });
    });

    /** Writes until there is no room. */
    function fill(fd: number): void {
      for (let n = env.send(fd, 65_536); n > 0; n = env.send(fd, 65_536));
    }

    /** All that becomes runnable until nothing more comes. */
    function settleAll(): Waiter[] {
      const runnable = wait();
      for (let more = ready(); more.length > 0; more = ready()) runnable.push(...more);
      return runnable;
    }
  });
}
