/** copy.test.ts: copy moves everything, loses nothing, and says how far it came. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { open, truncate, writeFile } from "node:fs/promises";
import { describe, test } from "node:test";
import {
  BufReader,
  BufWriter,
  type Conn,
  copy,
  discard,
  go,
  limitReader,
  multiReader,
  type NetError,
  type Reader,
  teeReader,
} from "../src/index.ts";
import { systemClock } from "../src/internal/clock.ts";
import { NodeHost } from "../src/runtime/host.ts";
import { Runtime, replaceRuntime, stats } from "../src/runtime/runtime.ts";
import { EINVAL, EMFILE } from "../src/syscall/errno.ts";
import type { NativeKernel } from "../src/syscall/kernel.ts";
import { nativeKernel } from "../src/syscall/native.ts";
import { abstractPair, pipePair, resetTCP, socketFolder, tcpPair } from "../testing/conns.ts";
import { openFds, withLeakCheck } from "../testing/leaks.ts";
import {
  assertSameBytes,
  failure,
  inMs,
  MORE_THAN_FITS,
  nextChunk,
  pattern,
  pieces,
  readAll,
  readFull,
  seeded,
  staysPending,
  turn,
} from "../testing/support.ts";

/** What a client writes goes to `src`, is copied to `dst`, and arrives at `sink`. */
interface Chain extends AsyncDisposable {
  client: Conn;
  src: Conn;
  dst: Conn;
  sink: Conn;
}

type MakePair = () => Promise<{ a: Conn; b: Conn; close(): Promise<void> }>;

async function chain(from: MakePair, to: MakePair): Promise<Chain> {
  const [first, second] = [await from(), await to()];
  return {
    client: first.a,
    src: first.b,
    dst: second.a,
    sink: second.b,
    [Symbol.asyncDispose]: async () => {
      await first.close();
      await second.close();
    },
  };
}

/** Writes all of it and then the end, without waiting for it. */
function feed(client: Conn, content: Uint8Array): Promise<void> {
  return (async () => {
    await client.write(content);
    await client.closeWrite();
  })();
}

/** As large as it has to be for a copy to a sink that does not read to come to a stop. */
const CONTENT = pattern(MORE_THAN_FITS);

/** Waits until a copy has stopped at its destination. */
async function stopped(): Promise<void> {
  for (let before = -1, same = 0; same < 20; await turn()) {
    const { bytesRead, bytesWritten } = stats();
    same = bytesRead + bytesWritten === before ? same + 1 : 0;
    before = bytesRead + bytesWritten;
  }
}

/** Both halves of what was copied in part: what the sink got, and what the source still has. */
async function assertNothingLost(link: Chain, error: NetError, feeding: Promise<void>) {
  await link.dst.close();
  const rest = go(readAll, link.src);
  const got = await readAll(link.sink);
  assert.equal(got.length, error.bytesWritten, "err.bytesWritten is what arrived");
  assertSameBytes(got, CONTENT.subarray(0, got.length));
  assertSameBytes(await rest.join(), CONTENT.subarray(got.length));
  await feeding;
}

const ways: [string, MakePair, MakePair][] = [
  ["tcp to tcp", tcpPair, tcpPair],
  ["unix to tcp", abstractPair, tcpPair],
  ["tcp to unix", tcpPair, abstractPair],
  ["pipe to tcp", pipePair, tcpPair],
  ["tcp to pipe", tcpPair, pipePair],
];

for (const [name, from, to] of ways) {
  describe(`copy, ${name}`, () => {
    const run = (what: string, body: (link: Chain) => Promise<void>): void => {
      test(what, (t) =>
        withLeakCheck(t, async () => {
          await using link = await chain(from, to);
          await body(link);
        }),
      );
    };

    run("moves everything up to the end, and closes nothing", async (link) => {
      const content = CONTENT.subarray(0, 5_000_001);
      const feeding = feed(link.client, content);
      const copying = copy(link.dst, link.src);
      assertSameBytes(await readFull(link.sink, content.length), content);
      assert.equal(await copying, content.length);
      await feeding;
      await link.dst.write("still open");
      assert.equal((await readFull(link.sink, 10)).length, 10);
      await link.sink.write("both ways");
      assert.equal((await readFull(link.dst, 9)).length, 9);
      assert.equal(await copy(link.dst, link.src), 0);
    });

    run("stops at its limit; the rest stays in the source", async (link) => {
      await link.client.write(CONTENT.subarray(0, 20_000));
      assert.equal(await copy(link.dst, link.src, { limit: 0 }), 0);
      assert.equal(await copy(link.dst, link.src, { limit: 12_345 }), 12_345);
      assertSameBytes(await readFull(link.sink, 12_345), CONTENT.subarray(0, 12_345));
      assertSameBytes(await readFull(link.src, 7_655), CONTENT.subarray(12_345, 20_000));
    });

    run("sends what was put back, and what was read ahead, first", async (link) => {
      await link.client.write("line\nrest of it, 33 bytes. tail");
      const reader = new BufReader(link.src);
      assert.equal(await reader.readLine(), "line");
      reader.unread(Buffer.from("again "));
      const [one, two] = [reader.takeBuffered().slice(0, 6), Buffer.from("rest of it, ")];
      link.src.unread(two);
      reader.unread(one);
      await link.client.closeWrite();
      assert.equal(await copy(link.dst, reader, { limit: 3 }), 3);
      assert.equal(await copy(link.dst, reader), 15);
      assert.equal(String(Buffer.from(await readFull(link.sink, 18))), "again rest of it, ");
    });

    run("honours a limited reader, and knows what is left of it", async (link) => {
      const feeding = feed(link.client, CONTENT.subarray(0, 200_000));
      const part = limitReader(new BufReader(link.src), 150_000);
      const head = new Uint8Array(10);
      assert.equal(await part.read(head), 10);
      const both = multiReader({ read: reader("first ") }, part);
      const copying = copy(link.dst, both, { limit: 100_000 });
      assertSameBytes(
        (await readFull(link.sink, 100_000)).subarray(6),
        CONTENT.subarray(10, 100_004),
      );
      assert.equal(await copying, 100_000);
      assert.equal(part.left, 150_000 - 100_004);
      const more = copy(link.dst, both);
      assertSameBytes(await readFull(link.sink, 49_996), CONTENT.subarray(100_004, 150_000));
      assert.equal(await more, 49_996);
      assert.equal(part.left, 0);
      await feeding;
    });

    run("a signal ends a copy that waits for its source; both go on", async (link) => {
      const stop = new AbortController();
      const copying = copy(link.dst, link.src, { signal: stop.signal });
      await link.client.write("abc");
      assert.equal((await readFull(link.sink, 3)).length, 3);
      stop.abort();
      assert.equal((await failure(copying, "ERR_CANCELED")).bytesWritten, 3);
      const aborted = await failure(
        copy(link.dst, link.src, { signal: stop.signal }),
        "ERR_CANCELED",
      );
      assert.equal(aborted.bytesWritten, 0);
      await link.client.write("def");
      assert.equal(await copy(link.dst, link.src, { limit: 3 }), 3);
      assert.equal((await readFull(link.sink, 3)).length, 3);
    });

    run("bytes that are put back wake a copy that waits", async (link) => {
      const copying = copy(link.dst, link.src);
      assert.ok(await staysPending(copying));
      link.src.unread(Buffer.from("abc"));
      assert.equal(String(Buffer.from(await readFull(link.sink, 3))), "abc");
      await feed(link.client, Buffer.from("def"));
      assert.equal(await copying, 6);
      assert.equal(String(Buffer.from(await readFull(link.sink, 3))), "def");
    });

    run("a deadline of the source ends it", async (link) => {
      link.src.setReadDeadline(inMs(1));
      const error = await failure(copy(link.dst, link.src), "ERR_DEADLINE");
      assert.ok(error.timeout);
      link.src.setReadDeadline(null);
      link.src.setTimeouts({ idle: 1 });
      await failure(copy(link.dst, link.src), "ERR_DEADLINE");
    });

    run("a signal that ends a copy at its destination loses nothing", async (link) => {
      const stop = new AbortController();
      const feeding = feed(link.client, CONTENT);
      const copying = copy(link.dst, link.src, { signal: stop.signal });
      await stopped();
      stop.abort();
      await assertNothingLost(link, await failure(copying, "ERR_CANCELED"), feeding);
    });

    run("a write timeout loses nothing", async (link) => {
      link.dst.setTimeouts({ write: 20 });
      const feeding = feed(link.client, CONTENT);
      const error = await failure(copy(link.dst, link.src), "ERR_DEADLINE");
      await assertNothingLost(link, error, feeding);
    });

    run("closing the destination meanwhile loses nothing", async (link) => {
      const feeding = feed(link.client, CONTENT);
      const copying = copy(link.dst, link.src);
      await stopped();
      await link.dst.close();
      await assertNothingLost(link, await failure(copying, "ERR_CLOSED"), feeding);
    });

    run("closing the source meanwhile: what was taken arrives", async (link) => {
      const feeding = feed(link.client, CONTENT).catch(() => {});
      const copying = copy(link.dst, link.src);
      await stopped();
      await link.src.close();
      assert.ok(await staysPending(copying));
      const got = go(readAll, link.sink);
      const error = await failure(copying, "ERR_CLOSED");
      await link.dst.close();
      const arrived = await got.join();
      assert.equal(arrived.length, error.bytesWritten);
      assertSameBytes(arrived, CONTENT.subarray(0, arrived.length));
      await feeding;
    });

    run("closing both meanwhile: what was taken is the error's partial", async (link) => {
      const feeding = feed(link.client, CONTENT).catch(() => {});
      const copying = copy(link.dst, link.src);
      await stopped();
      await link.src.close();
      await link.dst.close();
      const error = await failure(copying, "ERR_CLOSED");
      const { bytesWritten = 0, partial = new Uint8Array(0) } = error;
      assert.ok(partial.length > 0);
      assertSameBytes(partial, CONTENT.subarray(bytesWritten, bytesWritten + partial.length));
      assert.equal((await readAll(link.sink)).length, bytesWritten);
      await feeding;
    });

    run(
      "a destination that ended writing fails with EPIPE, and the source has it all",
      async (link) => {
        await link.dst.closeWrite();
        await link.client.write("abc");
        const error = await failure(copy(link.dst, link.src), "EPIPE");
        assert.equal(error.bytesWritten, 0);
        assert.equal(String(Buffer.from(await readFull(link.src, 3))), "abc");
      },
    );

    run("copies in both directions go on beside each other", async (link) => {
      const content = CONTENT.subarray(0, 3_000_000);
      const there = copy(link.dst, link.src);
      const back = copy(link.src, link.dst);
      const feeding = [feed(link.client, content), feed(link.sink, content)];
      const [a, b] = await Promise.all([
        readFull(link.client, content.length),
        readFull(link.sink, content.length),
      ]);
      assertSameBytes(a, content);
      assertSameBytes(b, content);
      assert.deepEqual(await Promise.all([there, back]), [content.length, content.length]);
      await Promise.all(feeding);
    });
  });
}

/** The read function of a reader that gives a text once. */
function reader(text: string): Reader["read"] {
  let bytes = Buffer.from(text);
  return async (p) => {
    const n = bytes.copy(p);
    bytes = bytes.subarray(n);
    return n === 0 ? null : n;
  };
}

test("packets stay packets", (t) =>
  withLeakCheck(t, async () => {
    const packets = (): ReturnType<typeof abstractPair> => abstractPair("unixpacket");
    await using link = await chain(packets, packets);
    const copying = copy(link.dst, link.src);
    for (const packet of ["one", "three"]) await link.client.write(packet);
    for (const length of [3, 5]) assert.equal((await nextChunk(link.sink))?.length, length);
    await link.client.closeWrite();
    assert.equal(await copying, 8);
  }));

test("a source that is reset fails with ECONNRESET; what came before has arrived", (t) =>
  withLeakCheck(t, async () => {
    await using link = await chain(tcpPair, tcpPair);
    const copying = copy(link.dst, link.src);
    await link.client.write("abc");
    assert.equal((await readFull(link.sink, 3)).length, 3);
    await resetTCP(link.client);
    assert.equal((await failure(copying, "ECONNRESET")).bytesWritten, 3);
  }));

test("a destination that is reset ends the copy; what it did not take is in the source", (t) =>
  withLeakCheck(t, async () => {
    await using link = await chain(tcpPair, tcpPair);
    const feeding = feed(link.client, CONTENT);
    const copying = copy(link.dst, link.src);
    await stopped();
    await resetTCP(link.sink);
    const error = await copying.catch((reason: unknown) => reason as NetError);
    assert.ok(typeof error !== "number" && /^(ECONNRESET|EPIPE)$/.test(error.code), String(error));
    assertSameBytes(await readAll(link.src), CONTENT.subarray(error.bytesWritten));
    await feeding;
  }));

test("64 MiB arrive intact in both directions, with random pauses on every side", async (t) => {
  const random = seeded(t);
  const content = pattern(64 << 20);
  const pause = async (): Promise<void> => {
    for (let i = random.below(3); i > 0; i--) await turn();
  };
  const send = async (conn: Conn): Promise<void> => {
    for (const piece of pieces(content, random, 3 << 20)) {
      await conn.write(piece);
      await pause();
    }
    await conn.closeWrite();
  };
  const receive = async (conn: Conn): Promise<string> => {
    const hash = createHash("sha256");
    let chunks = 0;
    for await (const chunk of conn) {
      hash.update(chunk);
      if (++chunks % 16 === 0) await pause();
    }
    return hash.digest("hex");
  };
  const pass = async (to: Conn, from: Conn): Promise<number> => {
    const n = await copy(to, from);
    await to.closeWrite();
    return n;
  };
  await withLeakCheck(t, async () => {
    await using link = await chain(tcpPair, tcpPair);
    const { client, src, dst, sink } = link;
    const all = [go(send, client), go(send, sink)];
    const copies = [go(pass, dst, src), go(pass, src, dst)];
    const received = [go(receive, client), go(receive, sink)];
    for (const each of all) await each.join();
    for (const each of copies) assert.equal(await each.join(), content.length);
    const hash = createHash("sha256").update(content).digest("hex");
    for (const each of received) assert.equal(await each.join(), hash);
  });
});

test("who waits for a source holds no pipe, and none stays when the last copy ends", async () => {
  const pipes = (): number =>
    [...openFds().values()].filter((target) => target.startsWith("pipe:")).length;
  const before = pipes();
  const links: Chain[] = [];
  for (let i = 0; i < 20; i++) links.push(await chain(tcpPair, tcpPair));
  const copies = links.map(({ dst, src }) => copy(dst, src));
  for (const { client } of links) await client.write("abc");
  for (const { sink } of links) await readFull(sink, 3);
  assert.ok(pipes() - before <= 32, `${pipes() - before} fds of pipes for 20 copies`);
  assert.ok(pipes() > before, "the copies went through a pipe");
  for (const { client } of links) await client.closeWrite();
  assert.deepEqual(new Set(await Promise.all(copies)), new Set([3]));
  assert.equal(pipes(), before);
  for (const link of links) await link[Symbol.asyncDispose]();
});

/** Runs with a kernel of which some calls are replaced. */
async function withKernel(change: Partial<NativeKernel>, body: () => Promise<void>): Promise<void> {
  const native = nativeKernel();
  const kernel = { ...native, ...change };
  const before = replaceRuntime(new Runtime(kernel, new NodeHost(native), systemClock));
  try {
    await body();
  } finally {
    replaceRuntime(before);
  }
}

const faults: [string, () => Partial<NativeKernel>][] = [
  ["there is no fd for a pipe", () => ({ pipe2: () => -EMFILE })],
  ["there are fds for a pipe now and then", () => ({ pipe2: nowAndThen() })],
  ["the kernel cannot splice these", () => ({ splice: () => -EINVAL })],
  ["the kernel can splice into a pipe only", () => ({ splice: oneWay() })],
  ["splices are short", () => ({ splice: short() })],
  ["a pipe cannot be enlarged", () => ({ setPipeSize: () => -EMFILE })],
];

function nowAndThen(): NativeKernel["pipe2"] {
  const native = nativeKernel();
  let calls = 0;
  return (out) => (++calls % 3 === 0 ? native.pipe2(out) : -EMFILE);
}

function oneWay(): NativeKernel["splice"] {
  const native = nativeKernel();
  let into = 0;
  return (from, to, length) => (++into % 2 === 1 ? native.splice(from, to, length) : -EINVAL);
}

function short(): NativeKernel["splice"] {
  const native = nativeKernel();
  let calls = 0;
  return (from, to, length) =>
    native.splice(from, to, Math.min(length, 1 + ((++calls * 977) % 5000)));
}

for (const [name, change] of faults) {
  test(`copy goes on by buffer or in parts when ${name}`, () =>
    withKernel(change(), async () => {
      await using link = await chain(tcpPair, tcpPair);
      const content = CONTENT.subarray(0, 2_000_000);
      const feeding = feed(link.client, content);
      const copying = copy(link.dst, link.src);
      assertSameBytes(await readFull(link.sink, content.length), content);
      assert.equal(await copying, content.length);
      await feeding;
    }));
}

describe("copy of a file", () => {
  const content = pattern(3_000_007);

  async function withFile(body: (path: string) => Promise<void>): Promise<void> {
    await using folder = await socketFolder();
    const path = folder.path("file");
    await writeFile(path, content);
    await body(path);
  }

  for (const [name, make] of [
    ["tcp", tcpPair],
    ["unix", abstractPair],
    ["pipe", pipePair],
  ] as [string, MakePair][]) {
    test(`to ${name}: whole, in part, from a place, nothing; its position stays`, (t) =>
      withLeakCheck(t, () =>
        withFile(async (path) => {
          const { a, b, close } = await make();
          const file = await open(path);
          await file.read(new Uint8Array(5), 0, 5);
          const whole = copy(a, file);
          assertSameBytes(await readFull(b, content.length), content);
          assert.equal(await whole, content.length);
          const part = copy(a, { fd: file.fd, offset: 1_000_001, length: 100_000 });
          assertSameBytes(await readFull(b, 100_000), content.subarray(1_000_001, 1_100_001));
          assert.equal(await part, 100_000);
          assert.equal(await copy(a, { fd: file.fd, offset: 7 }, { limit: 3 }), 3);
          assertSameBytes(await readFull(b, 3), content.subarray(7, 10));
          assert.equal(await copy(a, { fd: file.fd, length: 0 }), 0);
          assert.equal(await copy(a, { fd: file.fd, offset: content.length }), 0);
          assert.equal(await copy(a, { fd: file.fd, offset: 2 ** 40 }), 0);
          const p = new Uint8Array(5);
          await file.read(p, 0, 5);
          assertSameBytes(p, content.subarray(5, 10));
          await file.close();
          await close();
        }),
      ));
  }

  test("that shrinks meanwhile ends where it ends then", () =>
    withFile(async (path) => {
      await writeFile(path, CONTENT);
      await using pair = await tcpPair();
      const file = await open(path, "r+");
      const copying = copy(pair.a, file, { limit: CONTENT.length });
      await stopped();
      await truncate(path, 0);
      const got = go(readAll, pair.b);
      const n = await copying;
      await pair.a.closeWrite();
      assert.ok(n < CONTENT.length);
      // The pages that the socket holds are cut off too: their bytes read as zeros (sendfile(2)).
      assert.equal((await got.join()).length, n);
      await file.close();
    }));

  test("that is closed meanwhile fails, and never sends another file", () =>
    withFile(async (path) => {
      await writeFile(path, CONTENT);
      await using pair = await tcpPair();
      const file = await open(path);
      const copying = copy(pair.a, file);
      await stopped();
      await file.close();
      const other = await open(process.execPath);
      const got = go(readAll, pair.b);
      const error = await failure(copying, "EBADF");
      await pair.a.closeWrite();
      const arrived = await got.join();
      assert.equal(arrived.length, error.bytesWritten);
      assertSameBytes(arrived, CONTENT.subarray(0, arrived.length));
      await other.close();
    }));

  test("is interrupted like a write, and says how far it came", () =>
    withFile(async (path) => {
      await writeFile(path, CONTENT);
      await using pair = await tcpPair();
      const file = await open(path);
      pair.a.setTimeouts({ write: 10 });
      const error = await failure(copy(pair.a, file), "ERR_DEADLINE");
      assert.match(error.message, /after \d+ bytes/);
      pair.a.setTimeouts({ write: null });
      const done = error.bytesWritten as number;
      const rest = copy(pair.a, { fd: file.fd, offset: done });
      assertSameBytes(await readFull(pair.b, CONTENT.length), CONTENT);
      assert.equal(await rest, CONTENT.length - done);
      await file.close();
    }));

  test("that is a fifo or a device is read from where it stands", async () => {
    await using pair = await tcpPair();
    const zero = await open("/dev/zero");
    assert.equal(await copy(pair.a, zero, { limit: 100_000 }), 100_000);
    assert.equal((await readFull(pair.b, 100_000)).length, 100_000);
    await zero.close();
    const proc = await open("/proc/self/status");
    const n = await copy(pair.a, proc);
    assert.match(String(Buffer.from(await readFull(pair.b, n))), /^Name:/);
    await proc.close();
  });

  test("with wrong bounds is a RangeError, a folder is an error", async () => {
    await using pair = await tcpPair();
    const folder = await open("/");
    await assert.rejects(copy(pair.a, folder), { code: "EISDIR" });
    await assert.rejects(copy(pair.a, { fd: folder.fd, offset: -1 }), RangeError);
    await assert.rejects(copy(pair.a, { fd: folder.fd, length: -1 }), RangeError);
    await assert.rejects(copy(pair.a, folder, { limit: Number.NaN }), RangeError);
    await folder.close();
    await assert.rejects(copy(pair.a, { fd: -1 }));
  });
});

test("a copy between two that never wait leaves turns to others", async () => {
  let stopped = false;
  setImmediate(() => {
    stopped = true;
  });
  const endless: Reader = { read: async (p) => (stopped ? null : p.length) };
  assert.ok((await copy(discard, endless)) > 0);
});

test("copy into a buffered writer sends what it gathered first", (t) =>
  withLeakCheck(t, async () => {
    await using link = await chain(tcpPair, tcpPair);
    const writer = new BufWriter(link.dst);
    await writer.write("head ");
    await feed(link.client, Buffer.from("body"));
    assert.equal(await copy(writer, link.src), 4);
    await writer.write(" tail");
    await writer.flush();
    assert.equal(String(Buffer.from(await readFull(link.sink, 14))), "head body tail");
  }));

test("readers and writers of any kind can be copied", async () => {
  let text = "";
  const sink = {
    write: async (p: Uint8Array | string) => {
      text += Buffer.from(p as Uint8Array).toString();
      return p.length;
    },
  };
  let seen = "";
  const see = {
    write: async (p: Uint8Array | string) => {
      seen += Buffer.from(p as Uint8Array).toString();
      return p.length;
    },
  };
  assert.equal(await copy(sink, teeReader({ read: reader("abc") }, see)), 3);
  assert.deepEqual([text, seen], ["abc", "abc"]);
  const short = { write: async () => 1 };
  const taken = await copy(short, { read: reader("abc") }).catch((reason: unknown) => reason);
  const cut = taken as NetError;
  assert.deepEqual([cut.code, cut.bytesWritten], ["ERR_SHORT_WRITE", 1]);
  assert.equal(String(Buffer.from(cut.partial ?? [])), "bc");
  const failing = { write: () => Promise.reject(new Error("full")) };
  const error = await copy(failing, { read: reader("abc") }).catch((reason: unknown) => reason);
  const { message, partial, bytesWritten } = error as NetError;
  assert.deepEqual([message, String(Buffer.from(partial ?? [])), bytesWritten], ["full", "abc", 0]);
});
