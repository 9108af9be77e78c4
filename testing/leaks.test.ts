/** leaks.test.ts: the leak check finds what it should, names it, and finds nothing else. */
import assert from "node:assert/strict";
import { closeSync, openSync } from "node:fs";
import { describe, test } from "node:test";
import { type Conn, go, listen } from "../src/index.ts";
import { pipePair, tcpPair } from "./conns.ts";
import { withLeakCheck } from "./leaks.ts";
import { inMs, turn } from "./support.ts";

const PATIENCE_MS = 20;

/** What the check says of a test that leaves something behind; `tidy` takes it away afterwards. */
async function complaint(leak: () => Promise<() => Promise<void> | void>): Promise<string> {
  let tidy: () => Promise<void> | void = () => {};
  const leaking = async (): Promise<void> => {
    tidy = await leak();
  };
  try {
    await withLeakCheck({ name: "a leaking test" }, leaking, PATIENCE_MS);
  } catch (error) {
    assert.match((error as Error).message, /^"a leaking test" left something behind/);
    return (error as Error).message;
  } finally {
    await tidy();
  }
  return "nothing";
}

async function waitForData(conn: Conn): Promise<void> {
  await conn.read(new Uint8Array(1));
}

describe("withLeakCheck", () => {
  test("names a goroutine, with its number and where it was started", async () => {
    const message = await complaint(async () => {
      let end = (): void => {};
      const forgotten = (): Promise<void> =>
        new Promise((resolve) => {
          end = resolve;
        });
      const g = go(forgotten);
      await turn();
      return () => {
        end();
        return g.join();
      };
    });
    assert.match(message, /goroutines: 0 before, 1 after: \d+ \[forgotten\] from .*leaks\.test/);
  });

  test("names an operation that waits, and on what", async () => {
    const message = await complaint(async () => {
      const pair = await tcpPair();
      const g = go(waitForData, pair.a);
      await turn();
      const route = `${pair.a.localAddr}->${pair.a.remoteAddr}`;
      assert.ok(route.length > 10);
      return async () => {
        await pair.close();
        await g.join().catch(() => {});
      };
    });
    assert.match(
      message,
      /waiting operations: 0 before, 1 after: read on TCPConn tcp4 127\.0\.0\.1:/,
    );
    assert.match(message, /goroutines: 0 before, 1 after: \d+ \[waitForData\]/);
    assert.match(message, /open connections: 0 before, 2 after/);
    assert.match(message, /file descriptors: \d+ before, \d+ after: \d+ is socket:\[\d+\]/);
  });

  test("finds a listener, a pipe, a timer and an fd of other origin", async () => {
    const listener = await complaint(async () => {
      const left = await listen("tcp", "127.0.0.1:0");
      return () => left.close();
    });
    assert.match(listener, /open connections: 0 before, 1 after/);
    const timer = await complaint(async () => {
      const left = await pipePair();
      left.a.setReadDeadline(inMs(60_000));
      void left.a.read(new Uint8Array(1)).catch(() => {});
      return () => left.close();
    });
    assert.match(timer, /timers: 0 before, 1 after/);
    assert.match(timer, /read on PipeConn pipe pipe->pipe/);
    const file = await complaint(async () => {
      const fd = openSync(import.meta.filename, "r");
      return () => closeSync(fd);
    });
    assert.match(file, /file descriptors: .* is .*leaks\.test\.js/);
    assert.doesNotMatch(file, /open connections|goroutines/);
  });

  test("waits for what is about to end", async (t) => {
    await withLeakCheck(t, async () => {
      const pair = await tcpPair();
      const g = go(waitForData, pair.b);
      setTimeout(() => void pair.close(), 30);
      g.join().catch(() => {});
    });
  });

  test("lets a test's own failure through", async () => {
    const failing = withLeakCheck({ name: "failing" }, async () => {
      throw new Error("the test's own");
    });
    await assert.rejects(failing, /^Error: the test's own$/);
  });

  test("finds nothing in a tidy test", async () => {
    assert.equal(
      await complaint(async () => {
        await using pair = await tcpPair();
        await pair.a.write("x");
        return () => {};
      }),
      "nothing",
    );
  });
});
