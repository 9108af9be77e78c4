/** packets.ts: facts that hold for every PacketConn, whatever its network. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { type Datagram, go, type PacketConn, stats, TCPAddr } from "../../src/index.ts";
import { assertSameBytes, failure, inMs, pattern, staysPending, thrown, turn } from "../support.ts";

export interface PacketSubject {
  /** Two sockets that can send to each other. */
  readonly a: PacketConn;
  readonly b: PacketConn;
  readonly t: TestContext;
}

export type PacketFacts = Record<string, (subject: PacketSubject) => Promise<void>>;

const PAST = new Date(0);
/** So many fit into any receiver's queue (net.unix.max_dgram_qlen is 10). */
const FEW = 8;
const MANY = 200;

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

async function receive(conn: PacketConn): Promise<string> {
  const buffer = new Uint8Array(65_536);
  const { n } = await conn.readFrom(buffer);
  return textOf(buffer.subarray(0, n));
}

async function nextOf(conn: PacketConn): Promise<Datagram | undefined> {
  return (await conn[Symbol.asyncIterator]().next()).value;
}

function numbered(
  count: number,
  to: PacketConn,
): { data: string; addr: PacketConn["localAddr"] }[] {
  return Array.from({ length: count }, (_, i) => ({ data: `${i}`, addr: to.localAddr }));
}

async function sendNumbers(from: PacketConn, to: PacketConn, count: number): Promise<void> {
  for (const { data, addr } of numbered(count, to)) await from.writeTo(data, addr);
}

function numbers(count: number, first = 0): string[] {
  return Array.from({ length: count }, (_, i) => `${first + i}`);
}

async function gather(conn: PacketConn, count: number): Promise<string[]> {
  const texts: string[] = [];
  while (texts.length < count) {
    for (const { data } of await conn.readBatch()) texts.push(textOf(data));
  }
  return texts;
}

/** Reads something into read-ahead: three datagrams are taken from a loop that is left. */
async function takeThree(conn: PacketConn): Promise<string[]> {
  const texts: string[] = [];
  for await (const { data } of conn) {
    texts.push(textOf(data));
    if (texts.length === 3) break;
  }
  return texts;
}

const reading = {
  "every write is one datagram, every read takes one and tells its sender": async ({ a, b }) => {
    for (const text of ["one", "two two", "3"]) {
      assert.equal(await a.writeTo(text, b.localAddr), text.length);
    }
    const buffer = new Uint8Array(64);
    for (const text of ["one", "two two", "3"]) {
      const { n, size, truncated, addr } = await b.readFrom(buffer);
      assert.deepEqual([n, size, truncated], [text.length, text.length, false]);
      assert.equal(textOf(buffer.subarray(0, n)), text);
      assert.equal(String(addr), String(a.localAddr));
      assert.equal(addr.network, a.localAddr.network);
    }
  },

  "an answer goes to the sender, by the address or by its text": async ({ a, b }) => {
    await a.writeTo("question", String(b.localAddr));
    const { addr } = await b.readFrom(new Uint8Array(64));
    await b.writeTo("answer", addr);
    await b.writeTo("again", String(addr));
    await b.writeTo("and again", String(addr));
    assert.equal(await receive(a), "answer");
    assert.equal(await receive(a), "again");
    assert.equal((await nextOf(a))?.addr.toString(), String(b.localAddr));
  },

  "an empty datagram is n = 0, and the next one follows": async ({ a, b }) => {
    for (const text of ["", "x", "", ""]) await a.writeTo(text, b.localAddr);
    const buffer = new Uint8Array(8);
    const { n, size, truncated } = await b.readFrom(buffer);
    assert.deepEqual([n, size, truncated], [0, 0, false]);
    assert.equal((await b.readFrom(buffer)).n, 1);
    assert.equal((await nextOf(b))?.data.length, 0);
    assert.equal((await b.readBatch())[0]?.size, 0);
  },

  "a datagram larger than the buffer is cut off and tells its size; the next one is whole": async ({
    a,
    b,
  }) => {
    const buffer = Buffer.alloc(4);
    for (const read of [() => b.readFrom(buffer), () => b.readFrom(new Uint8Array(0))]) {
      await a.writeTo("far too long", b.localAddr);
      await a.writeTo("fits", b.localAddr);
      const { n, size, truncated, addr } = await read();
      assert.ok(truncated && n < size);
      assert.equal(size, 12);
      assert.equal(String(addr), String(a.localAddr));
      assert.equal((await b.readFrom(buffer)).truncated, false);
      assert.equal(buffer.toString(), "fits");
    }
  },

  "a datagram that was read ahead is cut off as well": async ({ a, b }) => {
    for (const text of ["1", "2", "3", "far too long", "fits"]) await a.writeTo(text, b.localAddr);
    await takeThree(b);
    const buffer = Buffer.alloc(4);
    const { n, size, truncated } = await b.readFrom(buffer);
    assert.deepEqual([n, size, truncated, buffer.toString()], [4, 12, true, "far "]);
    assert.equal(await receive(b), "fits");
  },

  "large datagrams arrive intact": async ({ a, b }) => {
    const buffer = new Uint8Array(65_536);
    for (const size of [63, 64, 65, 511, 512, 513, 1025, 8193, 60_000]) {
      const bytes = pattern(size, size);
      await a.writeTo(bytes, b.localAddr);
      await a.writeBatch([{ data: bytes, addr: b.localAddr }]);
      const { n } = await b.readFrom(buffer);
      assertSameBytes(buffer.subarray(0, n), bytes);
      assertSameBytes((await nextOf(b))?.data ?? buffer, bytes);
    }
  },

  "a read that waits takes one datagram and leaves the next": async ({ a, b }) => {
    const first = receive(b);
    const second = receive(b);
    assert.ok(await staysPending(first));
    await sendNumbers(a, b, 2);
    assert.deepEqual(await Promise.all([first, second]), ["0", "1"]);
    assert.ok(await staysPending(receive(b).catch(() => {})));
  },
} satisfies PacketFacts;

const batches = {
  "a batch takes what is there, at most as many as it may": async ({ a, b }) => {
    await sendNumbers(a, b, FEW);
    const first = await b.readBatch(3);
    assert.deepEqual(
      first.map(({ data }) => textOf(data)),
      numbers(3),
    );
    const rest = await b.readBatch();
    assert.deepEqual(
      rest.map(({ data }) => textOf(data)),
      numbers(FEW - 3, 3),
    );
    assert.ok(rest.every(({ addr }) => String(addr) === String(a.localAddr)));
    assert.ok(await staysPending(b.readBatch().catch(() => {})));
  },

  "a batch that waits is woken by the first datagram": async ({ a, b }) => {
    const waiting = b.readBatch();
    assert.ok(await staysPending(waiting));
    await sendNumbers(a, b, 1);
    assert.equal((await waiting).length, 1);
  },

  "more messages than one system call takes arrive, all and in order": async ({ a, b }) => {
    const writing = a.writeBatch(numbered(MANY, b));
    assert.deepEqual(await gather(b, MANY), numbers(MANY));
    assert.equal(await writing, MANY);
    assert.equal(await a.writeBatch([]), 0);
  },

  "a batch may ask for more than one system call gives": async ({ a, b }) => {
    const writing = a.writeBatch(numbered(MANY, b));
    const texts: string[] = [];
    while (texts.length < MANY) {
      const batch = await b.readBatch(150);
      assert.ok(batch.length <= 150);
      texts.push(...batch.map(({ data }) => textOf(data)));
    }
    assert.deepEqual(texts, numbers(MANY));
    await writing;
  },

  "what was received can be sent back as it is": async ({ a, b }) => {
    await sendNumbers(a, b, FEW);
    const batch = await b.readBatch();
    assert.equal(await b.writeBatch(batch), FEW);
    assert.deepEqual(await gather(a, FEW), numbers(FEW));
  },

  "batches of several writers are not mixed": async ({ a, b }) => {
    const writers = ["x", "y", "z"].map((name) =>
      a.writeBatch(
        Array.from({ length: 40 }, (_, i) => ({ data: `${name}${i}`, addr: b.localAddr })),
      ),
    );
    const expected = ["x", "y", "z"].flatMap((name) => numbers(40).map((n) => name + n));
    assert.deepEqual(await gather(b, 120), expected);
    assert.deepEqual(await Promise.all(writers), [40, 40, 40]);
  },
} satisfies PacketFacts;

const iterating = {
  "leaving a loop loses nothing, whatever reads next": async ({ a, b }) => {
    for (const rest of [
      async () => [await receive(b), ...(await gather(b, FEW - 4))],
      async () => (await b.readBatch()).map(({ data }) => textOf(data)),
      async () => [...(await takeThree(b)), await receive(b), await receive(b)],
      async () => [...(await b.readBatch(1)), ...(await b.readBatch(9))].map((d) => textOf(d.data)),
    ]) {
      await sendNumbers(a, b, FEW);
      assert.deepEqual(await takeThree(b), numbers(3));
      assert.deepEqual(await rest(), numbers(FEW - 3, 3));
    }
  },

  "what comes later does not overtake what was read ahead": async ({ a, b }) => {
    await sendNumbers(a, b, 5);
    await takeThree(b);
    await a.writeTo("later", b.localAddr);
    assert.deepEqual([await receive(b), await receive(b), await receive(b)], ["3", "4", "later"]);
  },

  "data belongs to the receiver: later datagrams do not change it": async ({ a, b }) => {
    const kept: Uint8Array[] = [];
    for (const size of [10, 100, 3000, 20_000]) {
      for (let i = 0; i < 3; i++) await a.writeTo(pattern(size, i), b.localAddr);
      kept.push(...(await b.readBatch()).map(({ data }) => data));
      kept.forEach((data, i) => {
        assertSameBytes(data, pattern(data.length, i % 3));
      });
    }
    assert.equal(kept.length, 12);
  },

  "iteration ends when the socket is closed, reads fail": async ({ a, b }) => {
    let count = 0;
    const loop = go(async () => {
      for await (const _ of b) count++;
      return "ended";
    });
    await sendNumbers(a, b, 2);
    while (count < 2 || stats().parked === 0) await turn();
    await b.close();
    assert.equal(await loop.join(), "ended");
    assert.equal(await nextOf(b), undefined);
    await failure(b.readFrom(new Uint8Array(1)), "ERR_CLOSED");
  },

  "the same sender has the same address object": async ({ a, b }) => {
    await sendNumbers(a, b, 3);
    const [first, second] = await b.readBatch();
    assert.equal(first?.addr, second?.addr);
  },
} satisfies PacketFacts;

const waiting = {
  "close wakes everybody who waits, and every method fails after it": async ({ a, b }) => {
    const buffer = new Uint8Array(8);
    const waiters = [b.readFrom(buffer), b.readFrom(buffer), b.readBatch(), b.readBatch()];
    assert.ok(await staysPending(Promise.race(waiters)));
    await b.close();
    for (const waiter of waiters) await failure(waiter, "ERR_CLOSED");
    await b.close();
    await failure(b.readFrom(buffer), "ERR_CLOSED");
    await failure(b.readBatch(), "ERR_CLOSED");
    await failure(b.writeTo("x", a.localAddr), "ERR_CLOSED");
    await failure(b.writeBatch([{ data: "x", addr: a.localAddr }]), "ERR_CLOSED");
    await thrown(() => b.setDeadline(PAST), "ERR_CLOSED");
    await thrown(() => b.setTimeouts({ read: 1 }), "ERR_CLOSED");
    await thrown(() => b.setReadBuffer(1000), "ERR_CLOSED");
    await thrown(() => b.setMulticastInterface("lo"), "ERR_CLOSED");
    assert.ok(String(b.localAddr).length > 0);
  },

  "what was read ahead is not given out after close": async ({ a, b }) => {
    await sendNumbers(a, b, 5);
    await takeThree(b);
    await b.close();
    await failure(b.readFrom(new Uint8Array(8)), "ERR_CLOSED");
    assert.equal(await nextOf(b), undefined);
  },

  "readers are served in the order in which they came, whatever they call": async ({ a, b }) => {
    const iterator = b[Symbol.asyncIterator]();
    const reads = [
      receive(b),
      iterator.next().then(({ value }) => textOf(value?.data ?? new Uint8Array())),
      b.readBatch(1).then(([one]) => textOf(one?.data ?? new Uint8Array())),
      receive(b),
    ];
    assert.ok(await staysPending(Promise.race(reads)));
    await sendNumbers(a, b, 4);
    assert.deepEqual(await Promise.all(reads), numbers(4));
  },

  "a deadline in the past fails at once, though data is there, and loses nothing": async ({
    a,
    b,
  }) => {
    await sendNumbers(a, b, 6);
    await takeThree(b);
    b.setReadDeadline(PAST);
    for (const read of [b.readFrom(new Uint8Array(8)), b.readBatch(), nextOf(b)]) {
      assert.equal((await failure(read, "ERR_DEADLINE")).timeout, true);
    }
    assert.equal(await b.writeTo("other side", a.localAddr), 10);
    b.setReadDeadline(null);
    assert.deepEqual(await gather(b, 3), numbers(3, 3));
  },

  "a write deadline in the past fails at once and sends nothing": async ({ a, b }) => {
    a.setWriteDeadline(PAST);
    assert.equal((await failure(a.writeTo("x", b.localAddr), "ERR_DEADLINE")).bytesWritten, 0);
    const batch = a.writeBatch(numbered(2, b));
    assert.equal((await failure(batch, "ERR_DEADLINE")).messagesSent, 0);
    a.setDeadline(null);
    await a.writeTo("sent", b.localAddr);
    assert.equal(await receive(b), "sent");
  },

  "a deadline ends a read that waits, also one that was set meanwhile": async ({ a, b }) => {
    b.setReadDeadline(inMs(10));
    await failure(b.readFrom(new Uint8Array(1)), "ERR_DEADLINE");
    b.setReadDeadline(null);
    const waiters = [b.readFrom(new Uint8Array(1)), nextOf(b)];
    assert.ok(await staysPending(Promise.race(waiters)));
    b.setReadDeadline(PAST);
    for (const waiter of waiters) await failure(waiter, "ERR_DEADLINE");
    b.setReadDeadline(null);
    await a.writeTo("later", b.localAddr);
    assert.equal(await receive(b), "later");
  },

  "a read timeout is for one operation, and an empty datagram is activity": async ({ a, b }) => {
    b.setTimeouts({ read: 10 });
    await failure(b.readFrom(new Uint8Array(1)), "ERR_DEADLINE");
    await failure(nextOf(b), "ERR_DEADLINE");
    b.setTimeouts({ read: null });
    await a.writeTo("", b.localAddr);
    assert.equal(await receive(b), "");
  },

  "a signal cancels one operation in the queue and no other": async ({ a, b }) => {
    const controllers = [0, 1, 2].map(() => new AbortController());
    const buffer = new Uint8Array(8);
    const [first, second, third] = controllers.map(({ signal }) => b.readFrom(buffer, { signal }));
    assert.ok(await staysPending(Promise.race([first, second, third])));
    controllers[1]?.abort("enough");
    const { cause } = await failure(second as Promise<unknown>, "ERR_CANCELED");
    assert.equal(cause, "enough");
    controllers[0]?.abort();
    await failure(first as Promise<unknown>, "ERR_CANCELED");
    await a.writeTo("kept", b.localAddr);
    assert.equal((await third)?.n, 4);
  },

  "an aborted signal fails at once and takes nothing": async ({ a, b }) => {
    await a.writeTo("kept", b.localAddr);
    const options = { signal: AbortSignal.abort("before") };
    for (const operation of [
      b.readFrom(new Uint8Array(8), options),
      b.readBatch(1, options),
      a.writeTo("x", b.localAddr, options),
      a.writeBatch(numbered(1, b), options),
    ]) {
      assert.equal((await failure(operation, "ERR_CANCELED")).cause, "before");
    }
    assert.equal(await receive(b), "kept");
  },

  "a buffer taken away while its read waits is a TypeError and leaves the datagram": async ({
    a,
    b,
  }) => {
    const buffer = new Uint8Array(8);
    const read = b.readFrom(buffer);
    structuredClone(buffer, { transfer: [buffer.buffer as ArrayBuffer] });
    await a.writeTo("kept", b.localAddr);
    await assert.rejects(read, TypeError);
    assert.equal(await receive(b), "kept");
  },

  "unref lets the process end while a read waits": async ({ a, b }) => {
    const before = stats().parked;
    const read = receive(b.unref());
    assert.equal(stats().parked, before);
    b.ref();
    assert.equal(stats().parked, before + 1);
    b.unref();
    await a.writeTo("x", b.localAddr);
    assert.equal(await read, "x");
  },

  "a pair that never waits leaves others their turn": async ({ a, b }) => {
    let turns = 0;
    let stop = false;
    const count = (): void => {
      if (++turns === 5) stop = true;
      else setImmediate(count);
    };
    setImmediate(count);
    let moved = 0;
    for (; !stop && moved < 1_000_000; moved++) {
      await a.writeTo("x", b.localAddr);
      await nextOf(b);
    }
    assert.ok(stop, `${moved} datagrams moved before the loop had its turns`);
  },
} satisfies PacketFacts;

const refusing = {
  "what is no address to send to is refused, with a word about it": async ({ a, b }) => {
    const isUDP = a.network !== "unixgram";
    const bad = isUDP
      ? ["localhost:53", ":53", "127.0.0.1", "[::1", "1.2.3.4:x"]
      : ["", "x".repeat(200)];
    for (const addr of bad) {
      const error = await failure(a.writeTo("x", addr), "EINVAL");
      assert.equal(error.address, addr);
      assert.equal(error.source, String(a.localAddr));
      await failure(a.writeBatch([...numbered(1, b), { data: "x", addr }]), "EINVAL");
    }
    if (isUDP)
      assert.match((await failure(a.writeTo("x", "localhost:53"), "EINVAL")).message, /resolve/);
    await assert.rejects(a.writeTo("x", new TCPAddr("127.0.0.1", 9)), TypeError);
    await assert.rejects(a.writeTo("x", undefined as unknown as string), TypeError);
    // Nothing of a batch with a bad address was sent.
    await a.writeTo("only", b.localAddr);
    assert.equal(await receive(b), "only");
  },

  "arguments of a wrong type are TypeErrors, numbers out of range RangeErrors": async ({
    a,
    b,
  }) => {
    await assert.rejects(a.readFrom("x" as unknown as Uint8Array), TypeError);
    await assert.rejects(a.writeTo(5 as unknown as string, b.localAddr), TypeError);
    await assert.rejects(a.writeBatch("x" as unknown as []), TypeError);
    await assert.rejects(
      a.writeBatch([{ data: 5 as unknown as string, addr: b.localAddr }]),
      TypeError,
    );
    for (const max of [0, -1, 1.5, Number.NaN]) await assert.rejects(a.readBatch(max), RangeError);
    assert.throws(() => a.setReadBuffer(0), RangeError);
    assert.throws(() => a.setTTL(256), RangeError);
    assert.throws(() => a.joinGroup("not an address"), RangeError);
  },

  "a datagram that the network does not take is EMSGSIZE to its sender": async ({ a, b }) => {
    const tooLarge = new Uint8Array(8 << 20);
    const error = await failure(a.writeTo(tooLarge, b.localAddr), "EMSGSIZE");
    assert.equal(error.address, String(b.localAddr));
    assert.match(error.message, /->/);
    const messages = [...numbered(2, b), { data: tooLarge, addr: b.localAddr }, ...numbered(1, b)];
    assert.equal((await failure(a.writeBatch(messages), "EMSGSIZE")).messagesSent, 2);
    assert.deepEqual(await gather(b, 2), numbers(2));
  },
} satisfies PacketFacts;

export const packets = {
  ...reading,
  ...batches,
  ...iterating,
  ...waiting,
  ...refusing,
} satisfies PacketFacts;
