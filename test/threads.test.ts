/** threads.test.ts: reactor threads: accepting, hogged threads, panics, ends, replacement. */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import {
  type AcceptMode,
  dial,
  type NetError,
  onPanic,
  type Thread,
  ThreadError,
  type Threads,
  type ThreadsOptions,
} from "../src/index.ts";
import { runtime } from "../src/runtime/runtime.ts";
import { readAll, readText, turn } from "../testing/support.ts";
import { Child, lacks, programPath, run } from "./child.ts";
import { answer, ask, freed, start } from "./threads_support.ts";

/** Words that the test and its threads share. */
function shared(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(16));
}

function wake(words: Int32Array): void {
  Atomics.store(words, 0, 1);
  Atomics.notify(words, 0);
}

before(async () => {
  // This thread's own poller, and what the first worker of a process opens for all, stay open.
  runtime().start();
  await (await start()).close();
});

const modes: AcceptMode[] = ["shared", "reuseport", "placed"];

for (const accept of modes) {
  describe(`threads that accept "${accept}"`, () => {
    test("serve, count what they serve, and leave nothing behind", () =>
      freed(async () => {
        await using threads = await start({ accept });
        assert.deepEqual(
          threads.threads.map((t) => t.index),
          [0, 1],
        );
        const who = await Promise.all(Array.from({ length: 50 }, () => answer(threads, "who")));
        const ids = threads.threads.map((t) => String(t.id));
        assert.ok(
          who.every((id) => ids.includes(id)),
          who.join(),
        );
        await using conn = await ask(threads, "echo");
        await conn.write("over there");
        assert.equal(await readText(conn, 10), "over there");
        // A connection is closed a moment before it is counted as over.
        while (threads.stats().live > 1) await turn();
        assert.equal(threads.stats().live, 1);
        assert.equal(threads.stats().accepted, 51);
        const each = threads.threads.map((t) => t.stats.accepted);
        assert.equal((each[0] ?? 0) + (each[1] ?? 0), 51);
        await conn.close();
        while (threads.stats().live > 0) await turn();
        // "over there" and 51 lines; what the answers were depends on the ids.
        while (threads.stats().bytesRead < 50 * 4 + 5 + 10) await turn();
        assert.equal(threads.stats().bytesRead, 50 * 4 + 5 + 10);
      }));

    test("are replaced one by one while connections come, and none is refused or reset", () =>
      freed(async () => {
        await using threads = await start({ accept });
        let asking = true;
        const seen = new Set<string>();
        const client = async (): Promise<void> => {
          while (asking) seen.add(await answer(threads, "who"));
        };
        const clients = Array.from({ length: 8 }, client);
        for (const old of [...threads.threads]) {
          const thread = await threads.replace(old);
          assert.equal(thread.index, old.index);
        }
        while (!(seen.has("2") && seen.has("3")) && accept !== "shared") await turn();
        asking = false;
        await Promise.all(clients);
        assert.ok(!seen.has("undefined") && !seen.has(""), [...seen].join());
      }));

    test("finish their connections when they are closed", () =>
      freed(async () => {
        const words = shared();
        const threads = await start({ accept, data: { words, stop: "count" } });
        const conns = await Promise.all(Array.from({ length: 6 }, () => ask(threads, "drain")));
        for (const conn of conns) assert.equal(await readText(conn, 5), "ready");
        const closing = threads.close();
        for (const conn of conns) {
          assert.equal(Buffer.from(await readAll(conn)).toString(), "finished");
          await conn.close();
        }
        await closing;
        assert.equal(words[1], 2);
        await assert.rejects(dial("tcp", String(threads.addr)), { code: "ECONNREFUSED" });
      }));

    test("are ended by force after drainTimeout", () =>
      freed(async () => {
        const threads = await start({ accept });
        await using conn = await ask(threads, "forever");
        assert.equal(await readText(conn, 5), "ready");
        await threads.close({ drainTimeout: 1 });
        // Its kernel socket is closed with the thread: an end or a reset, but no silence.
        await readAll(conn).catch(() => {});
      }));
  });
}

for (const accept of ["shared", "placed"] as const) {
  test(`"${accept}": while one thread is hogged, every new connection is served by the other`, () =>
    freed(async () => {
      const words = shared();
      await using threads = await start({ accept, data: { words } });
      await using hog = await ask(threads, "hog");
      const hogged = await readText(hog, 1);
      // Nothing of that thread runs before words[0] is set: who waited for it would wait for ever.
      const answers: string[] = [];
      for (let i = 0; i < 20; i++) answers.push(await answer(threads, "who"));
      answers.push(
        ...(await Promise.all(Array.from({ length: 80 }, () => answer(threads, "who")))),
      );
      assert.deepEqual(
        answers.filter((id) => id === hogged || id === ""),
        [],
      );
      wake(words);
      assert.equal(await readText(hog, 5), "woken");
      // And it serves again.
      while ((await answer(threads, "who")) !== hogged);
    }));
}

describe("a thread that fails", () => {
  for (const [verb, message] of [
    ["throw", /thread 0: Error: a defect of the handler/],
    ["exit", /thread 0: exited with code 3/],
  ] as const) {
    test(`by "${verb}" is reported with its id, and the others go on`, () =>
      freed(async () => {
        const exits: [Thread, ThreadError | undefined][] = [];
        const onExit: ThreadsOptions["onExit"] = (...exit) => exits.push(exit);
        await using threads = await start({ threads: 1, onExit });
        const [first] = threads.threads;
        await threads.add();
        await threads.remove(threads.threads[1] as Thread);
        assert.deepEqual(
          exits.map(([thread, error]) => [thread.id, error]),
          [[1, undefined]],
        );
        assert.equal(await answer(threads, verb).catch(() => ""), "");
        while (exits.length < 2) await turn();
        const [thread, error] = exits[1] as [Thread, ThreadError];
        assert.equal(thread, first);
        assert.ok(error instanceof ThreadError);
        assert.equal(error.thread, 0);
        assert.match(error.message, message);
        assert.deepEqual(threads.threads, []);
        await threads.add();
        assert.equal(await answer(threads, "who"), "2");
      }));
  }

  for (const accept of modes) {
    test(`is replaced from onExit, and "${accept}" leaves no connection unserved`, () =>
      freed(async () => {
        const replaced: Promise<Thread>[] = [];
        const threads: Threads = await start({
          accept,
          threads: 1,
          onExit: (thread, error) => {
            if (error !== undefined) replaced.push(threads.replace(thread));
          },
        });
        const failing = answer(threads, "throw").catch(() => {});
        // These come when nobody is there to serve them.
        const answers = Array.from({ length: 10 }, () =>
          answer(threads, "who").catch(() => "lost"),
        );
        await failing;
        while (replaced.length === 0) await turn();
        assert.equal((await replaced[0])?.index, 0);
        // Whoever was with the failing thread already is lost with it; the others are not.
        for (const each of await Promise.all(answers)) assert.match(each, /^([01]|lost|)$/);
        assert.equal(await answer(threads, "who"), "1");
        await threads.close();
      }));
  }

  test("is a panic of this process's when nobody asked to be told", async () => {
    const panics: unknown[] = [];
    const before = onPanic((error) => panics.push(error));
    try {
      await using threads = await start();
      await answer(threads, "throw").catch(() => {});
      while (panics.length === 0) await turn();
      assert.ok(panics[0] instanceof ThreadError);
    } finally {
      onPanic(before);
    }
  });

  test("ends the process with status 2 when there is no handler for panics", async () => {
    const { status, stderr } = await run("threads_life", ["panic"]);
    assert.equal(status, 2, stderr);
    assert.match(stderr, /panic: ThreadError: thread \d: Error: a defect of the handler/);
  });
});

describe("starting", () => {
  test("fails with what the module or its start() throws, and leaves nothing behind", () =>
    freed(async () => {
      const nowhere = start({ module: programPath("no_such_module") });
      await assert.rejects(nowhere, (e: ThreadError) => /no_such_module/.test(e.message));
      const data = { words: shared(), start: "throw" };
      await assert.rejects(start({ data }), /thread \d: Error: start went wrong/);
      const module = new URL("data:text/javascript,export const nothing = 1");
      await assert.rejects(start({ module }), /its default export must serve a connection/);
    }));

  test("fails at once when nobody can listen there, or an option makes no sense", async () => {
    await using threads = await start();
    const taken = start({ listen: ["tcp", String(threads.addr)] });
    await assert.rejects(taken, (e: NetError) => e.code === "EADDRINUSE");
    await assert.rejects(start({ threads: 0 }), RangeError);
    await assert.rejects(start({ accept: "some" as never }), TypeError);
    await assert.rejects(start({ placement: "best" as never }), TypeError);
    await assert.rejects(start({ module: 7 as never }), TypeError);
    const listen = ["unix", "@x"] as const;
    await assert.rejects(start({ listen, accept: "reuseport" }), TypeError);
  });

  test("keeps the process alive until close, and no longer", async () => {
    for (const accept of modes) {
      const { status, stdout, stderr } = await run("threads_life", ["life", accept]);
      assert.equal(status, 0, stderr);
      assert.equal(stdout, "served\nclosed\nended\n");
    }
  });
});

describe("placement", () => {
  test("refuses what its function refuses, and counts it", () =>
    freed(async () => {
      let calls = 0;
      const placement: ThreadsOptions["placement"] = (peer, stats) => {
        assert.equal(peer.network, "tcp");
        assert.equal(stats.length, 2);
        return ++calls % 2 === 0 ? "refuse" : 1;
      };
      await using threads = await start({ accept: "placed", placement });
      const answers: string[] = [];
      for (let i = 0; i < 10; i++) answers.push(await answer(threads, "who").catch(() => ""));
      // A thread that stands still for a moment is passed over, so either may have answered.
      const served = answers.map((id) => (id === "" ? "refused" : "served"));
      assert.deepEqual(served, Array(5).fill(["served", "refused"]).flat());
      assert.equal(threads.stats().refused, 5);
    }));

  test("that throws refuses that connection alone, and is a panic", async () => {
    const panics: unknown[] = [];
    const before = onPanic((error) => panics.push(error));
    try {
      const placement = (): number => (panics.length === 0 ? 2 : 0);
      await using threads = await start({ accept: "placed", placement });
      assert.equal(await answer(threads, "who").catch(() => ""), "");
      while (panics.length === 0) await turn();
      assert.match(String(panics[0]), /expected an index below 2, got 2/);
      assert.match(await answer(threads, "who"), /^[01]$/);
    } finally {
      onPanic(before);
    }
  });
});

test("unix sockets are shared and placed as well", () =>
  freed(async () => {
    for (const accept of ["shared", "placed"] as const) {
      const path = `@coronet-threads-${process.pid}-${accept}`;
      await using threads = await start({ accept, listen: ["unix", path] });
      await using conn = await dial("unix", String(threads.addr));
      await conn.write("echo\nhello");
      assert.equal(await readText(conn, 5), "hello");
      await conn.close();
    }
  }));

test("a process without free fds serves every connection in the end", async (t) => {
  const absent = lacks("prlimit", "--version");
  if (absent !== undefined) return t.skip(absent);
  for (const accept of ["shared", "placed"]) {
    const prefix = ["prlimit", "--nofile=256"];
    await using child = new Child("threads_life", ["fds", accept], { prefix });
    const address = await child.line();
    // All are open, most of them in the backlog, before the first one asks.
    const conns = await Promise.all(Array.from({ length: 400 }, () => dial("tcp", address)));
    for (const conn of conns) await conn.write("who\n");
    for (const conn of conns) {
      assert.match(Buffer.from(await readAll(conn)).toString(), /^[01]$/);
      await conn.close();
    }
    child.say("close");
    assert.equal((await child.ended).status, 0);
  }
});
