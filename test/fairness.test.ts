/**
 * fairness.test.ts: one connection that never waits does not keep its neighbours from their turn.
 * Everything is counted; nothing depends on how fast the machine is.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, type TestContext, test } from "node:test";
import { Response, serve } from "../src/http/index.ts";
import { type Addr, type Conn, dial, go, listen } from "../src/index.ts";
import { pipePair, type SocketPair, tcpPair } from "../testing/conns.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { readFull } from "../testing/support.ts";

/** If so much passes before a neighbour is done, it is being starved. */
const STARVED = 2 ** 30;

/** Runs `neighbour` beside goroutines that move bytes as fast as they can. */
async function beside(pair: SocketPair, neighbour: () => Promise<void>): Promise<void> {
  let moved = 0;
  let done = false;
  const bytes = new Uint8Array(65_536);
  const writer = go(async (conn: Conn) => {
    while (!done && moved < STARVED) moved += await conn.write(bytes);
    await conn.closeWrite();
  }, pair.a);
  const reader = go(async (conn: Conn) => {
    for await (const chunk of conn) assert.ok(chunk.length > 0);
  }, pair.b);
  await neighbour();
  done = true;
  await Promise.all([writer.join(), reader.join()]);
  assert.ok(moved < STARVED, `${moved} bytes moved before the neighbour was done`);
  await pair.close();
}

async function echo(conn: Conn): Promise<void> {
  await using _ = conn;
  for await (const chunk of conn) await conn.write(chunk);
}

const firehoses: Record<string, () => Promise<SocketPair>> = { tcp: tcpPair, pipe: pipePair };

for (const [name, firehose] of Object.entries(firehoses)) {
  const checked =
    (neighbour: () => Promise<void>) =>
    (t: TestContext): Promise<void> =>
      withLeakCheck(t, async () => beside(await firehose(), neighbour));

  describe(`beside a connection that never waits (${name})`, () => {
    test(
      "an interval fires again and again",
      checked(async () => {
        for (let fired = 0; fired < 20; fired++) {
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
      }),
    );

    test(
      "200 messages go back and forth on another connection",
      checked(async () => {
        await using pair = await tcpPair();
        const served = go(echo, pair.b);
        for (let i = 0; i < 200; i++) {
          await pair.a.write("ping");
          assert.equal((await readFull(pair.a, 4)).length, 4);
        }
        await pair.a.close();
        await served.join();
      }),
    );

    test(
      "50 connections are dialled, accepted and served",
      checked(async () => {
        await using listener = await listen("tcp", "127.0.0.1:0");
        const accepting = go(async () => {
          for await (const conn of listener) go(echo, conn);
        });
        for (let i = 0; i < 50; i++) {
          await using conn = await dial("tcp", String(listener.addr));
          await conn.write("hello");
          assert.equal((await readFull(conn, 5)).length, 5);
        }
        await listener.close();
        await accepting.join();
      }),
    );

    test(
      "files are read by the host",
      checked(async () => {
        for (let i = 0; i < 20; i++) assert.ok((await readFile(import.meta.filename)).length > 0);
      }),
    );
  });
}

/** More than a turn's budget, in one write. */
const LARGE = 1_000_000;
const CLIENTS = 12;

/** Clients that ask for much, each again as soon as it has it all; how often each was answered. */
async function askOver(addr: Addr, question: string): Promise<number[]> {
  const counts = new Array<number>(CLIENTS).fill(0);
  let total = 0;
  const clients = counts.map((_, id) =>
    go(async () => {
      await using conn = await dial("tcp", String(addr));
      const buffer = new Uint8Array(LARGE);
      while (total < 40 * CLIENTS) {
        await conn.write(question);
        for (let left = LARGE; left > 0; ) {
          const n = (await conn.read(buffer)) as number;
          const body = left < LARGE ? 0 : Buffer.from(buffer.buffer, 0, n).indexOf("\r\n\r\n") + 4;
          left -= n - Math.max(body, 0);
        }
        counts[id] = (counts[id] as number) + 1;
        total++;
      }
    }),
  );
  await Promise.all(clients.map((client) => client.join()));
  return counts;
}

/** One whose turns come from the poller by chance may have two for each turn of the run queue. */
function judge(counts: readonly number[]): void {
  assert.ok(Math.min(...counts) > 0.25 * Math.max(...counts), `answered: ${counts.join(" ")}`);
}

describe("clients whose every answer uses up a turn's budget are answered in turn", () => {
  test("by a loop of reads and writes", (t) =>
    withLeakCheck(t, async () => {
      await using listener = await listen("tcp", "127.0.0.1:0");
      const answer = Buffer.from(`\r\n\r\n${"x".repeat(LARGE)}`);
      const accepting = go(async () => {
        for await (const conn of listener) {
          go(async () => {
            await using _ = conn;
            for await (const chunk of conn) if (chunk.length > 0) await conn.write(answer);
          });
        }
      });
      judge(await askOver(listener.addr, "more"));
      await listener.close();
      await accepting.join();
    }));

  test("by an HTTP server", (t) =>
    withLeakCheck(t, async () => {
      const body = new Uint8Array(LARGE).fill(120);
      await using server = await serve("127.0.0.1:0", () => new Response(body));
      judge(await askOver(server.addr, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    }));
});
