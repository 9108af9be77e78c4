/**
 * arguments.test.ts: whatever a function of the addon is called with, it answers with a number, or
 * throws a TypeError or RangeError before it makes the system call.
 *
 * Every function stands in `shapes`; one that is missing there fails a test.
 */
import assert from "node:assert/strict";
import {
  closeSync,
  constants as fileConstants,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
} from "node:fs";
import { constants } from "node:os";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { AF_UNIX, SOCK_DGRAM, SOCK_STREAM } from "./constants.ts";
import { EAGAIN, EBADF, EINVAL } from "./errno.ts";
import type { NativeKernel, PollHandle, TlsContextHandle } from "./kernel.ts";
import { nativeKernel } from "./native.ts";
import { SLOT_SIZE, SLOTS, type Slots, Sockaddr, slotsFor } from "./slots.ts";

const { EBUSY, EEXIST, ENOTSOCK } = constants.errno;

type Call = (...args: unknown[]) => unknown;

/** What an argument is. */
type Kind =
  | "fd"
  | "own fd"
  | "file fd"
  | "int"
  | "buffer"
  | "offset"
  | "position"
  | "length"
  | "chunks"
  | "first"
  | "sockaddr"
  | "name"
  | "events"
  | "pair"
  | "counters"
  | "shared events"
  | "shared buffer"
  | "slots"
  | "count"
  | "callback"
  | "handle"
  | "fds"
  | "out"
  // What threads share: ids, an id with a tag, laid out memory, and the parts of a table.
  | "chan"
  | "chan operation"
  | "chan memory"
  | "atomic"
  | "table"
  | "key"
  | "bytes"
  | "one"
  // An fd that TLS runs on, and a configuration of TLS.
  | "tls fd"
  | "context"
  | "choice";

const shapes: Record<string, readonly Kind[]> = {
  read: ["fd", "buffer", "offset", "length"],
  write: ["fd", "buffer", "offset", "length"],
  recv: ["fd", "buffer", "offset", "length"],
  recvPacket: ["fd", "buffer", "offset", "length"],
  send: ["fd", "buffer", "offset", "length"],
  setScratch: ["shared buffer"],
  recvScratch: ["fd"],
  sendScratch: ["fd", "length"],
  peek: ["fd"],
  writev: ["fd", "chunks", "first", "offset"],
  readv: ["fd", "chunks", "first", "offset"],
  close: ["own fd"],
  socket: ["int", "int", "int"],
  socketpair: ["int", "int", "pair"],
  bind: ["fd", "sockaddr"],
  connect: ["fd", "sockaddr"],
  listen: ["fd", "int"],
  accept4: ["fd", "name"],
  getsockname: ["fd", "name"],
  getpeername: ["fd", "name"],
  setsockopt: ["fd", "int", "int", "buffer"],
  getsockopt: ["fd", "int", "int", "buffer"],
  shutdown: ["fd", "int"],
  unsent: ["fd"],
  setSlots: ["slots"],
  recvfrom: ["fd", "buffer", "offset", "length"],
  recvmmsg: ["fd", "count"],
  sendto: ["fd", "buffer", "offset", "length", "count"],
  sendScratchTo: ["fd", "length", "count"],
  sendmmsg: ["fd", "count", "int"],
  ifNameToIndex: ["buffer"],
  epollCreate1: [],
  epollCtl: ["fd", "int", "fd", "int", "int", "int"],
  epollWait: ["fd", "events", "int"],
  eventfd: [],
  pollOpen: ["own fd", "shared events", "counters", "int", "callback"],
  pollRef: ["handle"],
  pollClose: ["handle"],
  sendmsgFds: ["fd", "buffer", "offset", "length", "fds"],
  recvmsgFds: ["fd", "buffer", "offset", "length", "out"],
  adoptFd: ["fd"],
  releaseFd: ["own fd"],
  pipe2: ["pair"],
  setPipeSize: ["fd", "length"],
  splice: ["fd", "fd", "length"],
  sendfile: ["fd", "file fd", "position", "length"],
  sendMore: ["fd", "buffer", "offset", "length"],
  sharedJoin: ["own fd", "counters"],
  sharedOpen: ["chan memory", "one"],
  sharedClose: ["chan"],
  atomicFormat: ["shared buffer"],
  atomicArm: ["atomic"],
  atomicDisarm: ["atomic"],
  atomicNotify: ["atomic"],
  chanFormat: ["shared buffer", "one"],
  chanSend: ["chan operation", "bytes"],
  chanReceive: ["chan operation"],
  chanReceiveInto: ["chan", "bytes", "offset", "length"],
  chanReady: ["chan", "int"],
  chanArm: ["chan", "int"],
  chanDisarm: ["chan", "int"],
  chanLength: ["chan"],
  chanCapacity: ["chan"],
  chanLargest: ["chan"],
  chanClose: ["chan"],
  tableBytes: ["one", "one", "one"],
  tableFormat: ["shared buffer", "one", "one", "one", "int"],
  tableWrite: ["table", "key", "bytes", "offset", "length"],
  tableRead: ["table", "key", "offset", "length"],
  tableAdd: ["table", "key", "offset", "int", "int"],
  tableDelete: ["table", "key"],
  tableKeys: ["table", "int", "bytes", "offset", "length"],
  tableBuckets: ["table"],
  tableSize: ["table"],
  dupFd: ["fd"],
  takeFd: ["fd", "buffer", "offset", "length", "out"],
  tlsInit: ["shared events"],
  tlsRoots: ["buffer"],
  tlsContext: [],
  tlsContextUse: ["context", "int", "buffer", "buffer"],
  tlsContextLimits: ["context", "int", "int", "int", "one", "int"],
  tlsContextFailure: [],
  tlsOpen: ["tls fd", "context", "int", "int", "int", "buffer"],
  tlsClose: ["fd"],
  tlsHandshake: ["fd"],
  tlsChoose: ["fd", "choice"],
  tlsRecv: ["fd", "buffer", "offset", "length"],
  tlsRecvScratch: ["fd"],
  tlsPeek: ["fd"],
  tlsSend: ["fd", "buffer", "offset", "length"],
  tlsSendScratch: ["fd", "length"],
  tlsWritev: ["fd", "chunks", "first", "offset"],
  tlsFlush: ["fd"],
  tlsShutdown: ["fd"],
  tlsFacts: ["tls fd"],
  tlsHello: ["tls fd"],
  tlsFailure: ["tls fd"],
  tlsPeerCertificates: ["tls fd"],
  tlsStaple: ["tls fd"],
  tlsSession: ["tls fd"],
  tlsResume: ["tls fd", "buffer"],
  tlsAsk: ["tls fd", "int", "key"],
  tlsKeylog: ["tls fd"],
  tlsPark: ["fd", "int"],
  tlsUnpark: ["fd", "int"],
  tlsDiscard: ["int"],
  tlsStranded: ["int"],
};

const IDS: readonly Kind[] = ["chan", "chan operation", "atomic", "table"];
const NUMBERS: readonly Kind[] = [
  ...["fd", "own fd", "file fd", "int", "offset", "length", "count", "first", "one", "tls fd"],
  ...IDS,
] as Kind[];
const BYTES: readonly Kind[] = [
  ...["buffer", "bytes", "sockaddr", "name", "shared buffer", "chan memory", "slots"],
] as Kind[];
const INTEGERS: readonly Kind[] = ["events", "pair", "counters", "shared events", "fds", "out"];

const Float16 = (globalThis as { Float16Array?: new (n: number) => ArrayBufferView }).Float16Array;

/** What is of no use anywhere. */
const STRANGE = [undefined, null, "5", {}, [], true, 1n, Symbol("s"), () => {}, new Date()];
/** Views and buffers that are not bytes. */
const OTHER_BYTES = [
  new ArrayBuffer(256),
  new SharedArrayBuffer(256),
  new DataView(new ArrayBuffer(256)),
  new Int8Array(256),
  new Uint16Array(256),
  new Int16Array(256),
  new Uint32Array(256),
  new Float32Array(256),
  new Float64Array(256),
  new BigInt64Array(256),
  new BigUint64Array(256),
  ...(Float16 === undefined ? [] : [new Float16(256)]),
];

function wrongTypes(kind: Kind): unknown[] {
  if (NUMBERS.includes(kind)) return STRANGE;
  if (BYTES.includes(kind)) return [...STRANGE, 5, new Int32Array(256), ...OTHER_BYTES];
  if (INTEGERS.includes(kind)) return [...STRANGE, 5, new Uint8Array(256), ...OTHER_BYTES];
  if (kind === "chunks") return STRANGE.filter((value) => !Array.isArray(value));
  if (kind === "key") return STRANGE.filter((value) => typeof value !== "string");
  if (kind === "choice") return STRANGE.filter((value) => value !== undefined && value !== null);
  if (kind === "callback") return STRANGE.filter((value) => typeof value !== "function");
  return STRANGE;
}

const NOT_WHOLE = [
  Number.NaN,
  Infinity,
  -Infinity,
  1.5,
  -0.1,
  2 ** 31,
  -(2 ** 31) - 1,
  2 ** 32 + 3,
  1e300,
];

let kernel: NativeKernel;
let pair: Int32Array;
let epfd: number;
let fileFd: number;
let tlsPair: Int32Array;
let context: TlsContextHandle;
let slots: Slots;
let chanMemory: Uint8Array;
let ids: { chan: number; atomic: number; table: number };

function sharedBytes(): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(65_536));
}

function openShared(): void {
  chanMemory = sharedBytes();
  const [atomic, table] = [sharedBytes(), sharedBytes()];
  kernel.chanFormat(chanMemory, 8);
  kernel.atomicFormat(atomic);
  kernel.tableFormat(table, 8, 16, 32, 0);
  ids = {
    chan: kernel.sharedOpen(chanMemory, 1),
    atomic: kernel.sharedOpen(atomic, 2),
    table: kernel.sharedOpen(table, 3),
  };
}

function openTls(): void {
  kernel.tlsInit(new Int32Array(new SharedArrayBuffer(8)));
  context = kernel.tlsContext();
  tlsPair = new Int32Array(2);
  assert.equal(kernel.socketpair(AF_UNIX, SOCK_STREAM, tlsPair), 0);
  assert.equal(kernel.tlsOpen(tlsPair[0] as number, context, 0, 0, 0, new Uint8Array(0)), 0);
}

function valid(kind: Kind): unknown {
  switch (kind) {
    case "fd":
      return pair[0];
    case "own fd":
      return epfd;
    case "file fd":
      return fileFd;
    case "buffer":
      return new Uint8Array(16);
    case "chunks":
      return [new Uint8Array(4), new Uint8Array(4)];
    case "sockaddr":
      return new Uint8Array(16);
    case "name":
      return new Uint8Array(132);
    case "events":
      return new Int32Array(12);
    case "pair":
      return new Int32Array(2);
    case "counters":
      return new Int32Array(new SharedArrayBuffer(8));
    case "shared events":
      return new Int32Array(new SharedArrayBuffer(48));
    case "shared buffer":
      return new Uint8Array(new SharedArrayBuffer(65_536));
    case "slots":
      return slots.memory;
    case "callback":
      return () => {};
    case "fds":
      return new Int32Array(0);
    case "out":
      return new Int32Array(4);
    case "chan":
    case "atomic":
    case "table":
      return ids[kind];
    case "chan operation":
      return ids.chan * 16;
    case "chan memory":
      return chanMemory;
    case "bytes":
      return new Uint8Array(16);
    case "key":
      return "key";
    case "one":
      return 1;
    case "tls fd":
      return tlsPair[0];
    case "context":
      return context;
    case "choice":
      return null;
    default:
      return 0;
  }
}

function call(name: string, args: unknown[]): unknown {
  return ((kernel as unknown as Record<string, Call>)[name] as Call)(...args);
}

/** The arguments of a valid call, but for one. */
function but(name: string, at: number, value: unknown): unknown[] {
  return (shapes[name] as readonly Kind[]).map((kind, i) => (i === at ? value : valid(kind)));
}

function detached(): Uint8Array {
  const bytes = new Uint8Array(64);
  structuredClone(bytes, { transfer: [bytes.buffer] });
  return bytes;
}

/** A buffer that can change its size, with a view of that length or one that follows the size. */
function resizable(now: number, most: number, length?: number): Uint8Array {
  const options = { maxByteLength: most };
  const Resizable = ArrayBuffer as unknown as new (n: number, o: object) => ArrayBuffer;
  return new Uint8Array(new Resizable(now, options), 0, length as number);
}

function resize(view: Uint8Array, size: number): void {
  (view.buffer as unknown as { resize(n: number): void }).resize(size);
}

before(() => {
  kernel = nativeKernel();
  slots = slotsFor(kernel);
  pair = new Int32Array(2);
  assert.equal(kernel.socketpair(AF_UNIX, SOCK_STREAM, pair), 0);
  epfd = kernel.epollCreate1();
  fileFd = openSync(fileURLToPath(import.meta.url), "r");
  openShared();
  openTls();
});

after(() => {
  kernel.tlsClose(tlsPair[0] as number);
  for (const fd of [...pair, ...tlsPair, epfd]) kernel.close(fd);
  closeSync(fileFd);
});

test("every function of the addon is looked at here", () => {
  assert.deepEqual(Object.keys(kernel).sort(), Object.keys(shapes).sort());
});

for (const [name, kinds] of Object.entries(shapes)) {
  describe(name, () => {
    if (kinds.length > 0) {
      test("throws a TypeError when arguments are missing", () => {
        for (let given = 0; given < kinds.length; given++) {
          const args = kinds.slice(0, given).map(valid);
          assert.throws(() => call(name, args), { name: "TypeError" }, `${given} arguments`);
        }
      });
    }

    for (const [at, kind] of kinds.entries()) {
      test(`throws a TypeError for what is no ${kind} (argument ${at + 1})`, () => {
        for (const value of wrongTypes(kind)) {
          assert.throws(
            () => call(name, but(name, at, value)),
            { name: "TypeError" },
            String(value),
          );
        }
      });

      if (NUMBERS.includes(kind)) {
        test(`throws a RangeError for what is no whole number of 32 bits (argument ${at + 1})`, () => {
          for (const value of NOT_WHOLE) {
            const args = but(name, at, value);
            assert.throws(() => call(name, args), { name: "RangeError" }, String(value));
          }
        });
      }

      if (IDS.includes(kind)) {
        test(`throws a TypeError for the id of something else (argument ${at + 1})`, () => {
          // Only sharedClose takes all kinds.
          const other = name === "sharedClose" ? -2 : kind === "table" ? ids.chan : ids.table;
          const times = kind === "chan operation" ? 16 : 1;
          for (const id of [other, -1, 3, 1000, 2 ** 27 - 1]) {
            const args = but(name, at, id * times);
            assert.throws(() => call(name, args), { name: "TypeError" }, `id ${id}`);
          }
        });
      }

      if (kind === "fd") {
        test(`answers EBADF for an fd that cannot be open (argument ${at + 1})`, () => {
          for (const fd of [-1, -5, -(2 ** 31), 2 ** 31 - 1, 1_000_000_000]) {
            const args = but(name, at, fd);
            // An epoll_ctl of an operation that exists, a write of something.
            if (name === "epollCtl") args[1] = 1;
            if (kinds.includes("length")) args[kinds.indexOf("length")] = 1;
            assert.equal(call(name, args), -EBADF, `fd ${fd}`);
          }
        });
      }
    }

    if (kinds.includes("position")) {
      test("throws a RangeError for what is no place in a file", () => {
        for (const value of [-1, 1.5, Number.NaN, Infinity, 2 ** 53, -(2 ** 40)]) {
          const args = but(name, kinds.indexOf("position"), value);
          assert.throws(() => call(name, args), { name: "RangeError" }, String(value));
        }
        const beyond = but(name, kinds.indexOf("position"), 2 ** 53 - 1);
        assert.equal(typeof call(name, beyond), "number");
      });
    }

    if (kinds.includes("length") && !kinds.includes("buffer")) {
      test("throws a RangeError for a negative length", () => {
        for (const length of [-1, -(2 ** 31)]) {
          const args = but(name, kinds.indexOf("length"), length);
          assert.throws(() => call(name, args), { name: "RangeError" }, String(length));
        }
      });
    }

    if (kinds.includes("length") && kinds.includes("buffer")) {
      const last = kinds.slice(4).map(valid);

      test("throws a RangeError for a span that does not lie within its buffer", () => {
        const spans = [
          [-1, 1],
          [0, -1],
          [0, 17],
          [16, 1],
          [17, 0],
          [8, 9],
          [2 ** 31 - 1, 1],
          [1, 2 ** 31 - 1],
          [2 ** 31 - 1, 2 ** 31 - 1],
          [-(2 ** 31), -(2 ** 31)],
        ] as const;
        for (const [offset, length] of spans) {
          const args = [pair[0], new Uint8Array(16), offset, length, ...last];
          assert.throws(() => call(name, args), { name: "RangeError" }, `${offset}, ${length}`);
        }
      });

      test("takes a detached buffer for an empty one", () => {
        assert.throws(() => call(name, [pair[0], detached(), 0, 1, ...last]), {
          name: "RangeError",
        });
        assert.throws(() => call(name, [pair[0], detached(), 64, 0, ...last]), {
          name: "RangeError",
        });
        assert.equal(typeof call(name, [pair[0], detached(), 0, 0, ...last]), "number");
      });

      test("sees what a buffer that was resized is now", () => {
        const shrunk = resizable(64, 64);
        resize(shrunk, 8);
        assert.throws(() => call(name, [pair[0], shrunk, 0, 9, ...last]), { name: "RangeError" });
        const outOfBounds = resizable(64, 64, 32);
        resize(outOfBounds, 8);
        assert.throws(() => call(name, [pair[0], outOfBounds, 0, 1, ...last]), {
          name: "RangeError",
        });
        const grown = resizable(8, 64);
        resize(grown, 64);
        assert.equal(typeof call(name, [pair[0], grown, 0, 0, ...last]), "number");
      });
    }

    if (kinds.includes("chunks")) {
      test("throws a RangeError for a first chunk or an offset that is not there", () => {
        const chunks = [new Uint8Array(4), new Uint8Array(4)];
        for (const [first, offset] of [
          [-1, 0],
          [3, 0],
          [-(2 ** 31), 0],
          [2 ** 31 - 1, 0],
          [0, -1],
          [0, 5],
          [1, 2 ** 31 - 1],
        ] as const) {
          const args = [pair[0], chunks, first, offset];
          assert.throws(() => call(name, args), { name: "RangeError" }, `${first}, ${offset}`);
        }
      });

      test("throws a TypeError for a chunk that is none, also the last one", () => {
        for (const wrong of [undefined, null, 5, "text", [1], new Int32Array(4), ...OTHER_BYTES]) {
          const args = [pair[0], [new Uint8Array(4), wrong], 0, 0];
          assert.throws(() => call(name, args), { name: "TypeError" }, String(wrong));
        }
        // biome-ignore lint/suspicious/noSparseArray: that is what is tested
        assert.throws(() => call(name, [pair[0], [new Uint8Array(4), , new Uint8Array(4)], 0, 0]), {
          name: "TypeError",
        });
      });

      test("takes detached chunks for empty ones", () => {
        assert.throws(() => call(name, [pair[0], [detached()], 0, 1]), { name: "RangeError" });
        assert.equal(typeof call(name, [pair[0], [detached(), detached()], 0, 0]), "number");
      });

      test("survives a getter that takes memory away, and passes on what it throws", () => {
        const victim = new Uint8Array(64).fill(7);
        const chunks = [victim, victim];
        Object.defineProperty(chunks, 1, {
          get: () => {
            structuredClone(victim, { transfer: [victim.buffer] });
            return new Uint8Array(0);
          },
        });
        assert.equal(typeof call(name, [pair[0], chunks, 0, 0]), "number");
        assert.equal(victim.length, 0);
        const throwing = [victim, victim];
        Object.defineProperty(throwing, 0, {
          get: () => {
            throw new Error("mine");
          },
        });
        assert.throws(() => call(name, [pair[0], throwing, 0, 0]), /^Error: mine$/);
      });
    }

    if (kinds.includes("name")) {
      test("throws a RangeError for a buffer that is too small for any address", () => {
        for (const size of [0, 4, 131]) {
          assert.throws(() => call(name, [pair[0], new Uint8Array(size)]), { name: "RangeError" });
        }
        assert.throws(() => call(name, [pair[0], detached()]), { name: "RangeError" });
      });
    }

    if (kinds.includes("sockaddr")) {
      test("throws a RangeError for an address that is too short or too long", () => {
        for (const size of [0, 1, 129, 65_536]) {
          assert.throws(() => call(name, [pair[0], new Uint8Array(size)]), { name: "RangeError" });
        }
        assert.throws(() => call(name, [pair[0], detached()]), { name: "RangeError" });
      });
    }
  });
}

/** What was sent to the first socket of the pair has been read. */
function drain(): void {
  const rest = new Uint8Array(65_536);
  for (const fd of pair) while (kernel.recv(fd, rest, 0, rest.length) > 0);
}

describe("memory", () => {
  test("of a SharedArrayBuffer can be sent from and received into", () => {
    const from = new Uint8Array(new SharedArrayBuffer(16)).fill(9);
    const into = new Uint8Array(new SharedArrayBuffer(16));
    assert.equal(kernel.send(pair[0] as number, from, 2, 10), 10);
    assert.equal(kernel.recv(pair[1] as number, into, 3, 12), 10);
    assert.deepEqual([...into], [0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0, 0, 0]);
  });

  test("of every kind arrives as it was sent", () => {
    const Growable = SharedArrayBuffer as unknown as new (
      n: number,
      o: object,
    ) => SharedArrayBuffer;
    const kinds: [string, () => Uint8Array][] = [
      ["in V8's heap", () => new Uint8Array(16)],
      ["outside of it", () => new Uint8Array(4096).subarray(100, 116)],
      ["a Buffer from the pool", () => Buffer.alloc(16)],
      ["resizable", () => resizable(16, 64)],
      ["clamped", () => new Uint8ClampedArray(16) as unknown as Uint8Array],
      ["growable and shared", () => new Uint8Array(new Growable(16, { maxByteLength: 64 }))],
    ];
    for (const [name, make] of kinds) {
      const from = make();
      for (let i = 0; i < 16; i++) from[i] = i * 3;
      const into = make();
      assert.equal(kernel.send(pair[0] as number, from, 0, 16), 16, name);
      assert.equal(kernel.recv(pair[1] as number, into, 0, 16), 16, name);
      assert.deepEqual([...into], [...from], name);
    }
  });

  test("outside of the span is left alone", () => {
    for (const [offset, length] of [
      [0, 1],
      [5, 7],
      [31, 1],
      [0, 32],
    ] as const) {
      drain();
      kernel.send(pair[0] as number, new Uint8Array(64).fill(1), 0, 64);
      const whole = new Uint8Array(48).fill(0xaa);
      const part = whole.subarray(8, 40);
      assert.equal(kernel.recv(pair[1] as number, part, offset, length), length);
      const touched = [...whole.keys()].filter((i) => whole[i] !== 0xaa);
      assert.deepEqual(
        touched,
        Array.from({ length }, (_, i) => 8 + offset + i),
      );
    }
    drain();
  });

  test("of a vector is filled chunk after chunk, from the offset on", () => {
    kernel.send(
      pair[0] as number,
      Uint8Array.from({ length: 10 }, (_, i) => i + 1),
      0,
      10,
    );
    const chunks = [3, 0, 4, 8].map((size) => new Uint8Array(size));
    assert.equal(kernel.readv(pair[1] as number, chunks, 0, 1), 10);
    assert.deepEqual(
      chunks.map((chunk) => [...chunk]),
      [[0, 1, 2], [], [3, 4, 5, 6], [7, 8, 9, 10, 0, 0, 0, 0]],
    );
  });

  test("of more chunks than one call takes is sent by several", () => {
    const chunks = Array.from({ length: 3000 }, (_, i) => Uint8Array.of(i & 0xff));
    assert.equal(kernel.writev(pair[0] as number, chunks, 0, 0), 1024);
    assert.equal(kernel.writev(pair[0] as number, chunks, 2990, 0), 10);
    assert.equal(kernel.writev(pair[0] as number, chunks, 3000, 0), 0);
    const got = new Uint8Array(2000);
    assert.equal(kernel.recv(pair[1] as number, got, 0, 2000), 1034);
    assert.equal(got[1023], 1023 & 0xff);
    assert.equal(got[1024], 2990 & 0xff);
  });

  test("that the addon keeps must be shared, as it could be taken away otherwise", () => {
    const shared = new Int32Array(new SharedArrayBuffer(48));
    const detachable = new Int32Array(12);
    assert.throws(() => kernel.pollOpen(epfd, detachable, shared, 8, () => {}), {
      name: "TypeError",
    });
    assert.throws(() => kernel.pollOpen(epfd, shared, detachable, 8, () => {}), {
      name: "TypeError",
    });
    assert.throws(() => kernel.setScratch(new Uint8Array(64)), { name: "TypeError" });
  });
});

describe("fds that travel with bytes", () => {
  const bytes = new Uint8Array(16);

  const O_CLOEXEC = 0o2000000;

  function fdInfo(fd: number): string {
    return readFileSync(`/proc/self/fdinfo/${fd}`, "latin1");
  }

  /** Sends fds with one byte and receives them into so many places. */
  function travel(fds: number[], room: number): Int32Array {
    drain();
    const out = new Int32Array(2 + room).fill(-7);
    assert.equal(kernel.sendmsgFds(pair[0] as number, bytes, 0, 1, Int32Array.from(fds)), 1);
    assert.equal(kernel.recvmsgFds(pair[1] as number, bytes, 0, 16, out), 1);
    return out;
  }

  test("arrive as fds of this environment, close-on-exec and non-blocking", () => {
    const file = openSync("/dev/null", "r");
    const [arrived, dropped, fd] = travel([file], 1) as unknown as [number, number, number];
    assert.deepEqual([arrived, dropped], [1, 0]);
    assert.notEqual(fd, file);
    const [, octal = ""] = /flags:\s+(\d+)/.exec(fdInfo(fd)) ?? [];
    const expected = fileConstants.O_NONBLOCK | O_CLOEXEC;
    assert.equal(Number.parseInt(octal, 8) & expected, expected);
    assert.equal(kernel.close(fd), 0);
    closeSync(file);
  });

  test("for which there is no room are closed", () => {
    const before = readdirSync("/proc/self/fd").length;
    const many = Array.from({ length: 10 }, () => epfd);
    const out = travel(many, 3);
    assert.equal(out[0], 10);
    for (const fd of out.subarray(2)) assert.equal(kernel.close(fd), 0);
    assert.deepEqual([...travel(many, 0)], [10, 0]);
    assert.equal(readdirSync("/proc/self/fd").length, before);
  });

  test("are 253 at most, and must be open", () => {
    const out = travel(
      Array.from({ length: 253 }, () => epfd),
      253,
    );
    assert.equal(out[0], 253);
    for (const fd of out.subarray(2)) assert.equal(kernel.close(fd), 0);
    const one = pair[0] as number;
    assert.throws(() => kernel.sendmsgFds(one, bytes, 0, 1, new Int32Array(254).fill(epfd)), {
      name: "RangeError",
    });
    assert.equal(kernel.sendmsgFds(one, bytes, 0, 1, Int32Array.of(-1)), -EBADF);
    assert.equal(kernel.sendmsgFds(one, bytes, 0, 1, Int32Array.of(999_999)), -EBADF);
  });

  test("need a place for what is told of them", () => {
    for (const out of [new Int32Array(0), new Int32Array(1)]) {
      const [one] = pair as unknown as [number];
      assert.throws(() => kernel.recvmsgFds(one, bytes, 0, 1, out), { name: "RangeError" });
    }
  });

  test("are not there when nothing came", () => {
    drain();
    const out = new Int32Array(4).fill(-7);
    assert.equal(kernel.recvmsgFds(pair[1] as number, bytes, 0, 16, out), -EAGAIN);
    assert.deepEqual([...out.subarray(0, 2)], [0, 0]);
  });
});

describe("fds that change hands", () => {
  test("are ours once they are adopted, and not twice", () => {
    const file = openSync("/dev/null", "r");
    assert.equal(kernel.close(file), -EBADF);
    assert.equal(kernel.adoptFd(file), file);
    assert.equal(kernel.adoptFd(file), -EEXIST);
    assert.equal(kernel.close(file), 0);
    assert.equal(kernel.adoptFd(file), -EBADF);
  });

  test("stay open and are nobody's once they are released", () => {
    const fd = kernel.eventfd();
    assert.equal(kernel.releaseFd(fd), 0);
    assert.equal(kernel.releaseFd(fd), -EBADF);
    assert.equal(kernel.close(fd), -EBADF);
    fstatSync(fd);
    assert.equal(kernel.adoptFd(fd), fd);
    assert.equal(kernel.close(fd), 0);
  });

  test("are not released while a poll handle watches them", () => {
    const fd = kernel.epollCreate1();
    const events = new Int32Array(new SharedArrayBuffer(48));
    const handle = kernel.pollOpen(fd, events, events, 8, () => {});
    assert.ok(typeof handle !== "number");
    assert.equal(kernel.releaseFd(fd), -EBUSY);
    kernel.pollClose(handle);
    assert.equal(kernel.releaseFd(fd), 0);
    assert.equal(kernel.adoptFd(fd), fd);
    assert.equal(kernel.close(fd), 0);
  });
});

describe("slots", () => {
  let fds: Int32Array;
  const unnamed = new Sockaddr(new Int32Array(0), 0);

  before(() => {
    fds = new Int32Array(2);
    assert.equal(kernel.socketpair(AF_UNIX, SOCK_DGRAM, fds), 0);
  });

  after(() => {
    for (const fd of fds) kernel.close(fd);
  });

  test("are shared memory of their exact size", () => {
    const { byteLength } = slots.memory;
    for (const size of [0, byteLength - 1, byteLength + 1]) {
      const memory = new Uint8Array(new SharedArrayBuffer(size));
      assert.throws(() => kernel.setSlots(memory), { name: "RangeError" });
    }
    const misplaced = new Uint8Array(new SharedArrayBuffer(byteLength + 1), 1);
    assert.throws(() => kernel.setSlots(misplaced), { name: "RangeError" });
    assert.throws(() => kernel.setSlots(new Uint8Array(byteLength)), { name: "TypeError" });
  });

  test("are as many as can be asked for", () => {
    for (const count of [-1, SLOTS + 1, 2 ** 31 - 1]) {
      assert.throws(() => kernel.recvmmsg(fds[0] as number, count), { name: "RangeError" });
      assert.throws(() => kernel.sendmmsg(fds[0] as number, count, 0), { name: "RangeError" });
    }
  });

  test("are checked before they are sent: both lengths must lie within", () => {
    const heads = new Int32Array(slots.memory.buffer);
    for (const [at, wrong] of [
      [0, -1],
      [0, SLOT_SIZE + 1],
      [1, -1],
      [1, 113],
    ] as const) {
      slots.put(0, new Uint8Array(1), unnamed);
      heads[at] = wrong;
      assert.throws(() => kernel.sendmmsg(fds[0] as number, 1, 0), { name: "RangeError" });
    }
    const bytes = new Uint8Array(4);
    for (const length of [-1, 113]) {
      assert.throws(() => kernel.sendto(1, bytes, 0, 4, length), { name: "RangeError" });
      assert.throws(() => kernel.sendScratchTo(1, 4, length), { name: "RangeError" });
    }
    assert.throws(() => kernel.sendScratchTo(1, 65_537, 0), { name: "RangeError" });
  });

  test("carry datagrams of every size, several per call", () => {
    const [a, b] = fds as unknown as [number, number];
    const sizes = [0, 1, 63, 64, 65_536];
    for (const [slot, size] of sizes.entries()) {
      slots.put(slot, new Uint8Array(size).fill(slot + 1), unnamed);
    }
    assert.equal(kernel.sendmmsg(a, sizes.length, 0), sizes.length);
    slots.memory.fill(0);
    assert.equal(kernel.recvmmsg(b, SLOTS), sizes.length);
    for (const [slot, size] of sizes.entries()) {
      assert.equal(slots.size(slot), size);
      const bytes = slots.memory.subarray(slots.at(slot), slots.at(slot) + size);
      assert.ok(bytes.every((byte) => byte === slot + 1));
      assert.equal(slots.name(slot).length, 0);
    }
    assert.equal(kernel.recvmmsg(b, SLOTS), -EAGAIN);
  });

  test("tell the whole size of a datagram that did not fit", () => {
    const [a, b] = fds as unknown as [number, number];
    const large = new Uint8Array(SLOT_SIZE + 100);
    assert.equal(kernel.sendto(a, large, 0, large.length, 0), large.length);
    assert.equal(kernel.recvmmsg(b, 1), 1);
    assert.equal(slots.size(0), large.length);
    assert.equal(kernel.sendto(a, large, 0, 100, 0), 100);
    assert.equal(kernel.recvfrom(b, new Uint8Array(8), 0, 8), 100);
  });

  test("of an interface's name answer its number, or ENODEV", () => {
    const { ENODEV } = constants.errno;
    assert.ok(kernel.ifNameToIndex(Buffer.from("lo")) > 0);
    for (const name of ["", "nonesuch0", "x".repeat(16), "x".repeat(1000)]) {
      assert.equal(kernel.ifNameToIndex(Buffer.from(name)), -ENODEV);
    }
  });
});

describe("fds that are not this environment's", () => {
  test("are not closed: standard input, output, error", () => {
    for (const fd of [0, 1, 2]) assert.equal(kernel.close(fd), -EBADF);
    for (const fd of [0, 1, 2]) fstatSync(fd);
  });

  test("are not closed: a file of Node's", () => {
    const fd = openSync("/dev/null", "r");
    assert.equal(kernel.close(fd), -EBADF);
    closeSync(fd);
  });

  test("are not closed: one that was closed here before", () => {
    const fd = kernel.eventfd();
    assert.equal(kernel.close(fd), 0);
    const file = openSync("/dev/null", "r");
    assert.equal(file, fd, "the number was expected to be used again");
    assert.equal(kernel.close(fd), -EBADF);
    closeSync(file);
  });

  test("are not closed: another thread's", async () => {
    const module = JSON.stringify(new URL("./native.js", import.meta.url).href);
    const worker = new Worker(
      `import(${module}).then(({ nativeKernel }) => {
        const { parentPort } = require("node:worker_threads");
        const kernel = nativeKernel();
        const fd = kernel.eventfd();
        parentPort.postMessage(fd);
        parentPort.once("message", () => parentPort.postMessage(kernel.close(fd)));
      })`,
      { eval: true },
    );
    const next = (): Promise<number> => new Promise((resolve) => worker.once("message", resolve));
    const fd = await next();
    assert.equal(kernel.close(fd), -EBADF);
    worker.postMessage("close it");
    assert.equal(await next(), 0);
  });

  test("are not watched", () => {
    const events = new Int32Array(new SharedArrayBuffer(48));
    const counters = new Int32Array(new SharedArrayBuffer(8));
    for (const fd of [0, -1, 999_999]) {
      assert.equal(
        kernel.pollOpen(fd, events, counters, 8, () => {}),
        -EBADF,
      );
    }
  });
});

describe("poll handles", () => {
  const events = new Int32Array(new SharedArrayBuffer(48));
  const counters = new Int32Array(new SharedArrayBuffer(8));

  function open(fd: number): PollHandle {
    const handle = kernel.pollOpen(fd, events, counters, 8, () => {});
    assert.ok(typeof handle !== "number");
    return handle;
  }

  test("are known only while they are open", () => {
    const fd = kernel.epollCreate1();
    const handle = open(fd);
    kernel.pollClose(handle);
    assert.throws(() => kernel.pollClose(handle), { name: "TypeError" });
    assert.throws(() => kernel.pollRef(handle), { name: "TypeError" });
    assert.equal(kernel.close(fd), 0);
  });

  test("of one fd are one at a time", () => {
    const fd = kernel.epollCreate1();
    const handle = open(fd);
    assert.equal(
      kernel.pollOpen(fd, events, counters, 8, () => {}),
      -EEXIST,
    );
    kernel.pollClose(handle);
    assert.equal(kernel.close(fd), 0);
  });

  test("keep their fd from being closed under them", () => {
    const fd = kernel.epollCreate1();
    const handle = open(fd);
    assert.equal(kernel.close(fd), -EBUSY);
    kernel.pollClose(handle);
    assert.equal(kernel.close(fd), 0);
  });

  test("are bound to an fd that can be watched", () => {
    const fd = kernel.epollCreate1();
    kernel.close(fd);
    assert.equal(
      kernel.pollOpen(fd, events, counters, 8, () => {}),
      -EBADF,
    );
  });
});

test("calls that make no sense for an fd answer with the kernel's errno", () => {
  const eventfd = kernel.eventfd();
  const bytes = new Uint8Array(16);
  assert.equal(kernel.recv(eventfd, bytes, 0, 16), -ENOTSOCK);
  assert.equal(kernel.send(eventfd, bytes, 0, 16), -ENOTSOCK);
  assert.equal(kernel.epollWait(eventfd, new Int32Array(3), 0), -EINVAL);
  assert.equal(kernel.epollCtl(epfd, 1, epfd, 1, 0, 0), -EINVAL);
  assert.equal(kernel.read(eventfd, bytes, 0, 8), -EAGAIN);
  assert.equal(kernel.read(eventfd, bytes, 0, 4), -EINVAL);
  assert.equal(kernel.listen(eventfd, 5), -ENOTSOCK);
  assert.equal(kernel.close(eventfd), 0);
});
