/** backend.test.ts: which backend a program runs on, and what it says about that. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { dial, listen, listenPacket } from "../src/index.ts";
import { systemClock } from "../src/internal/clock.ts";
import { PortableHost } from "../src/runtime/host.ts";
import { Runtime, replaceRuntime } from "../src/runtime/runtime.ts";
import { PortableKernel } from "../src/syscall/portable_kernel.ts";
import { nativeRuntime } from "../testing/backend.ts";
import { failure, readText } from "../testing/support.ts";
import { type Ended, run } from "./child.ts";

const WITHOUT_ADDON = { CORONET_NATIVE: "/nonexistent/coronet.node" };

function backend(env: NodeJS.ProcessEnv, ...args: string[]): Promise<Ended> {
  return run("backend", args, { env: { CORONET_POLLER: "", ...env } });
}

function assertRan({ status, stdout }: Ended, ...lines: string[]): void {
  assert.deepEqual([stdout.trim().split("\n"), status], [lines, 0]);
}

describe("a program", () => {
  test("runs on the addon where it can be loaded", async () => {
    for (const env of [{}, { CORONET_POLLER: "epoll" }]) {
      const ended = await backend(env);
      assertRan(ended, "main thread: hello on epoll");
      assert.equal(ended.stderr, "");
    }
  });

  test("runs without it where it cannot, and says once what is lost and what to do", async () => {
    const ended = await backend(WITHOUT_ADDON);
    assertRan(ended, "main thread: hello on portable");
    const { stderr } = ended;
    assert.equal(stderr.match(/CoronetWarning/g)?.length, 1, stderr);
    for (const part of ["portable backend", "tried /nonexistent/coronet.node", "C compiler"]) {
      assert.ok(stderr.includes(part), stderr);
    }
  });

  test("says it once for all of its worker threads", async () => {
    const ended = await backend(WITHOUT_ADDON, "threads");
    assertRan(
      ended,
      "main thread: hello on portable",
      "thread one: hello on portable",
      "thread two: hello on portable",
    );
    assert.equal(ended.stderr.match(/CoronetWarning/g)?.length, 1, ended.stderr);
  });

  test("says nothing when it was asked to do without", async () => {
    const ended = await backend({ ...WITHOUT_ADDON, CORONET_POLLER: "portable" });
    assertRan(ended, "main thread: hello on portable");
    assert.equal(ended.stderr, "");
  });

  test("fails when it insists on an addon that cannot be loaded, or on what there is not", async () => {
    const insists = await backend({ ...WITHOUT_ADDON, CORONET_POLLER: "epoll" });
    assert.equal(insists.status, 1);
    assert.match(insists.stderr, /no native addon .* could be loaded[\s\S]*tried \/nonexistent/);
    const nonsense = await backend({ CORONET_POLLER: "kqueue" });
    assert.equal(nonsense.status, 1);
    assert.match(nonsense.stderr, /CORONET_POLLER is "kqueue"; it may be "epoll" or "portable"/);
  });
});

/** Runs a check on the portable backend, whatever the others run on. */
async function onPortableRuntime(check: () => Promise<void>): Promise<void> {
  const kernel = new PortableKernel();
  const before = replaceRuntime(new Runtime(kernel, new PortableHost(kernel), systemClock));
  try {
    await check();
  } finally {
    replaceRuntime(before);
  }
}

describe("what only the addon can", () => {
  test("fails with EOPNOTSUPP and says so", () =>
    onPortableRuntime(async () => {
      const advice =
        /\(EOPNOTSUPP\); the portable backend cannot do this, only the native addon\. /;
      const packets = await failure(listen("unixpacket", "/tmp/never.sock"), "EOPNOTSUPP");
      assert.match(packets.message, advice);
      assert.match((await failure(dial("unixpacket", "/tmp/x"), "EOPNOTSUPP")).message, advice);
      const buffers = listen("tcp", "127.0.0.1:0", { readBuffer: 4096 });
      assert.match((await failure(buffers, "EOPNOTSUPP")).message, advice);
      await using listener = await listen("tcp", "127.0.0.1:0");
      await using conn = await dial("tcp", String(listener.addr));
      assert.throws(() => conn.setWriteBuffer(4096), { code: "EOPNOTSUPP", op: "set" });
      await (await listener.accept()).close();
    }));
});

describe("datagrams without the addon", () => {
  test("that nobody takes are ECONNREFUSED of a later operation, and the conn goes on", () =>
    onPortableRuntime(async () => {
      const gone = await listenPacket("udp4", "127.0.0.1:0");
      await gone.close();
      await using conn = await dial("udp", String(gone.localAddr));
      for (let i = 0; i < 3; i++) {
        const reading = conn.read(new Uint8Array(8));
        await conn.write("anyone?");
        await failure(reading, "ECONNREFUSED");
      }
      await using server = await listenPacket("udp4", String(gone.localAddr));
      await conn.write("heard");
      assert.equal((await server.readFrom(new Uint8Array(8))).n, 5);
    }));
});

describe("both backends", () => {
  test("reach each other", async () => {
    const native = nativeRuntime();
    await onPortableRuntime(async () => {
      const portable = await listen("tcp", "127.0.0.1:0");
      const before = replaceRuntime(native);
      const theirs = await listen("tcp", "127.0.0.1:0");
      const [a, b] = await Promise.all([dial("tcp", String(portable.addr)), portable.accept()]);
      replaceRuntime(before);
      const [c, d] = await Promise.all([dial("tcp", String(theirs.addr)), theirs.accept()]);
      for (const [from, to] of [
        [a, b],
        [b, a],
        [c, d],
        [d, c],
      ] as const) {
        await from.write("hello");
        assert.equal(await readText(to, 5), "hello");
      }
      for (const each of [a, b, c, d, portable, theirs]) await each.close();
    });
  });
});
