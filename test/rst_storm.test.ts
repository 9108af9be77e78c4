/** rst_storm.test.ts: thousands of connections that are reset at once leave nothing behind. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type Conn, go, listen, stats } from "../src/index.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { turn } from "../testing/support.ts";
import { Child } from "./child.ts";

/** As many as the limit of fds permits: each connection takes one here and one in the client. */
const MOST = 18_000;
const FDS_FOR_OTHERS = 500;
const MEGABYTE = 1_000_000;

function fdLimit(): number {
  try {
    return Number(/^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1]);
  } catch {
    return 1024;
  }
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

async function heapInUse(): Promise<number> {
  for (let i = 0; i < 4; i++) {
    await turn();
    collectGarbage();
  }
  return process.memoryUsage().heapUsed;
}

async function echo(conn: Conn): Promise<void> {
  await using _ = conn;
  for await (const chunk of conn) await conn.write(chunk);
}

/** Opens so many connections, uses each once, and kills them all. */
async function storm(client: Child, count: number): Promise<void> {
  await turn();
  const before = stats();
  client.say(`open ${count}`);
  assert.equal(await client.line(), `open done, ${count} open`);
  assert.equal(stats().open - before.open, count);
  assert.equal(stats().parked - before.parked, count);
  client.say("kill");
  assert.equal(await client.line(), "kill done, 0 open");
  const giveUp = Date.now() + 30_000;
  while (stats().open > before.open && Date.now() < giveUp) await turn();
  const after = stats();
  assert.equal(after.open, before.open);
  assert.equal(after.parked, before.parked);
  assert.equal(after.goroutines.live, before.goroutines.live);
  assert.equal(after.goroutines.ended - before.goroutines.ended, count, "each by its own reset");
  assert.equal(after.bytesRead - before.bytesRead, count * "a message".length);
}

test("a storm of resets leaves no connection, no fd and no memory behind", async (t) => {
  await withLeakCheck(t, async () => {
    await using listener = await listen("tcp", "127.0.0.1:0");
    const accepting = go(async () => {
      for await (const conn of listener) go(echo, conn);
    });
    await using client = new Child("storm_client", [String(listener.addr)]);
    const count = Math.min(MOST, fdLimit() - FDS_FOR_OTHERS);
    await storm(client, Math.ceil(count / 6));
    const before = await heapInUse();
    await storm(client, count);
    const grown = (await heapInUse()) - before;
    t.diagnostic(`${count} connections; the heap changed by ${Math.round(grown / 1000)} kB`);
    assert.ok(Math.abs(grown) < 2 * MEGABYTE, `the heap changed by ${grown} bytes`);
    await listener.close();
    await accepting.join();
  });
});
