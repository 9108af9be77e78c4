/** leaks.test.ts: the leak check names what is left, waits for what winds down, and lets filters be. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { tcpPair } from "../../testing/conns.ts";
import { inMs, turn } from "../../testing/support.ts";
import { Chan } from "../chan/chan.ts";
import { listen } from "../net/listen.ts";
import { pipe } from "../net/pipe.ts";
import { go } from "../runtime/goroutine.ts";
import { sleep } from "../time/sleep.ts";
import { Ticker } from "../time/ticker.ts";
import { LeakError, type LeakOptions, verifyNoLeaks, verifyNoLeaksInEach } from "./leaks.ts";

/** What the check says of this; `undefined` when it says nothing. `tidy` takes it away afterwards. */
async function complaint(
  leak: () => Promise<() => unknown> | (() => unknown),
  options: LeakOptions = {},
): Promise<LeakError | undefined> {
  const check = verifyNoLeaks({ patience: 20, ...options });
  const tidy = await leak();
  try {
    await check.done();
    return undefined;
  } catch (error) {
    assert.ok(error instanceof LeakError, String(error));
    return error;
  } finally {
    await tidy();
    await turn();
  }
}

function forgottenSender(): () => unknown {
  const results = new Chan<number>();
  go(async function search() {
    await results.send(1);
  });
  return () => results.receive();
}

describe("a leak check", () => {
  test("names a goroutine, its wait, the line, and where it was started", async () => {
    const error = await complaint(forgottenSender);
    assert.deepEqual(
      error?.leaks.map(({ type, name }) => [type, name]),
      [["goroutine", "search"]],
    );
    assert.match(
      String(error?.message),
      /^1 thing was left behind\n\ngoroutine \d+ \[search\]\nwaits for chan send since .* on chan #\d+\n {2}at search \(.*leaks\.test.*\)\n {2}nobody has ever received from it\nstarted at .*leaks\.test/,
    );
  });

  test("names a conn, a listener and a timer", async () => {
    const error = await complaint(async () => {
      const [a, b] = pipe();
      const listener = await listen("tcp", "127.0.0.1:0");
      const ticker = new Ticker(60_000);
      return async () => {
        ticker.stop();
        for (const each of [a, b, listener]) await each.close();
      };
    });
    assert.deepEqual(
      error?.leaks.map(({ type }) => type),
      ["conn", "conn", "listener", "timer"],
    );
    assert.match(String(error?.message), /listener tcp4? 127\.0\.0\.1:\d+ is open/);
  });

  test("tells a conn's deadline and a sleep with the conn and the goroutine alone", async () => {
    const error = await complaint(async () => {
      const pair = await tcpPair();
      pair.a.setReadDeadline(inMs(60_000));
      pair.a.read(new Uint8Array(1)).catch(() => {});
      const stop = new AbortController();
      go(() => sleep(60_000, { signal: stop.signal }));
      await turn();
      return () => {
        stop.abort();
        return pair.close();
      };
    });
    const types = error?.leaks.map(({ type }) => type);
    assert.deepEqual(types, ["goroutine", "conn", "conn"]);
  });

  test("waits for what winds down", async () => {
    assert.equal(
      await complaint(
        () => {
          const tidy = forgottenSender();
          setTimeout(tidy, 30);
          return () => {};
        },
        { patience: 5000 },
      ),
      undefined,
    );
  });

  test("lets be what was there before, what nobody expects to end, and what is known", async () => {
    const tidy = forgottenSender();
    await turn();
    const never = new Chan<number>();
    const ignore = ({ name }: { name: string }): boolean => name === "search";
    const nothing = await complaint(
      () => {
        go(() => never.receive()).unref();
        return forgottenSender();
      },
      { ignore },
    );
    assert.equal(nothing, undefined);
    await tidy();
    never.close();
  });
});

describe("a check of each test", () => {
  verifyNoLeaksInEach({ beforeEach, afterEach });

  test("says nothing of a tidy one", async () => {
    const [a, b] = pipe();
    await a.close();
    await b.close();
  });

  test("and works with the hooks of any runner", async () => {
    const hooks: { before?: () => void; after?: () => Promise<void> } = {};
    const beforeEach = (fn: () => void): void => {
      hooks.before = fn;
    };
    const afterEach = (fn: () => Promise<void>): void => {
      hooks.after = fn;
    };
    verifyNoLeaksInEach({ beforeEach, afterEach }, { patience: 10 });
    hooks.before?.();
    const tidy = forgottenSender();
    await assert.rejects(hooks.after?.() as Promise<void>, LeakError);
    await tidy();
  });
});
