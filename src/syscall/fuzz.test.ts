/**
 * fuzz.test.ts: every function of the addon, called with anything, in a process of its own that has to
 * survive it.
 *
 * Arguments are drawn without regard to what a function takes, but a few are kept harmless: fds are
 * those that the run opened, or such as cannot be open; addresses are of this machine; nothing waits.
 *
 *   CORONET_SEED=1234            repeats a run
 *   CORONET_FUZZ_CALLS=1000000   makes it longer
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { isUint8Array } from "node:util/types";
import { Random } from "../internal/random.ts";
import { AF_INET, AF_INET6, AF_UNIX } from "./constants.ts";
import type { NativeKernel } from "./kernel.ts";
import { nativeKernel } from "./native.ts";
import { SLOTS, Slots, Sockaddr } from "./slots.ts";
import { encodeInet } from "./sockaddr.ts";

type Call = (...args: unknown[]) => unknown;

const CALLS = Number(process.env.CORONET_FUZZ_CALLS ?? 200_000);
const PROCESSES = 2;
const MOST_FDS = 150;
/** Which arguments are fds, where it is not the first alone. */
const FD_PLACES: Record<string, readonly number[]> = {
  epollCtl: [0, 2],
  splice: [0, 1],
  sendfile: [0, 1],
  pipe2: [],
  socket: [],
  socketpair: [],
  eventfd: [],
  epollCreate1: [],
  tlsInit: [],
  tlsRoots: [],
  tlsContext: [],
  tlsContextUse: [],
  tlsContextLimits: [],
  tlsContextFailure: [],
};
const FAMILIES = [AF_UNIX, AF_INET, AF_INET6, -1, 99];
const TYPES = [1, 2, 5, -1, 77];
const Float16 = (globalThis as { Float16Array?: new (n: number) => ArrayBufferView }).Float16Array;

/** Detaches the memory of an array, if that can be done. */
function takeAway({ buffer }: Uint8Array): void {
  try {
    structuredClone(0, { transfer: [buffer as ArrayBuffer] });
  } catch {
    // Shared, or detached already.
  }
}

/** Makes the calls. */
class Fuzzer {
  readonly kernel: NativeKernel;
  readonly random: Random;
  private readonly fds: number[] = [];
  private readonly handles: unknown[] = [];
  private readonly contexts: unknown[] = [];
  private readonly held: unknown[] = [];
  private slots = new Slots();
  answered = 0;
  threw = 0;

  constructor(random: Random) {
    this.kernel = nativeKernel();
    this.random = random;
    this.kernel.setSlots(this.slots.memory);
    this.kernel.tlsInit(new Int32Array(new SharedArrayBuffer(8)));
  }

  private pick<T>(values: readonly T[]): T {
    return values[this.random.below(values.length)] as T;
  }

  // ---- values

  private fd(): number {
    if (this.fds.length > 0 && !this.random.chance(0.1)) return this.pick(this.fds);
    return this.pick([-1, -2, 2 ** 31 - 1, -(2 ** 31), 999_999_999]);
  }

  private int(): number {
    const { random } = this;
    const small = random.below(40) - 4;
    return this.pick([small, small, small, random.next() | 0, 2 ** 31 - 1, -(2 ** 31), 0, 1]);
  }

  private size(): number {
    return this.random.chance(0.1) ? this.random.below(5000) : this.random.below(40);
  }

  private memory(): ArrayBuffer | SharedArrayBuffer {
    const size = this.size();
    const Sized = this.pick([ArrayBuffer, SharedArrayBuffer]) as unknown as new (
      n: number,
      options?: object,
    ) => ArrayBuffer;
    // One that can change its size takes the kernel a while to make.
    if (!this.random.chance(0.02)) return new Sized(size);
    const memory = new Sized(size, { maxByteLength: size + 64 });
    // It changes its size now and again while views of it are about.
    this.held.push(memory);
    return memory;
  }

  private bytes(): Uint8Array {
    const { random } = this;
    const memory = this.memory();
    const offset = random.below(memory.byteLength + 1);
    const whole = random.chance(0.5);
    const bytes = whole
      ? new Uint8Array(memory)
      : new Uint8Array(memory, offset, random.below(memory.byteLength - offset + 1));
    if (random.chance(0.05)) takeAway(bytes);
    return bytes;
  }

  private sockaddr(): Uint8Array {
    const { random } = this;
    const port = random.below(65_536);
    const ip4 = Uint8Array.of(127, 0, 0, 1 + random.below(3));
    const ip6 = new Uint8Array(16).fill(1, 15);
    const name = new Uint8Array(3 + random.below(126));
    // An abstract name: a path would be made somewhere.
    name[0] = AF_UNIX;
    for (let i = 3; i < name.length; i++) name[i] = random.below(256);
    return this.pick([
      encodeInet({ family: AF_INET, ip: ip4, port, scope: 0 }),
      encodeInet({ family: AF_INET6, ip: ip6, port, scope: random.below(3) }),
      name,
      new Uint8Array(random.below(200)),
    ]);
  }

  private chunks(): unknown {
    const chunks: unknown[] = [];
    const count = this.random.chance(0.02) ? 1500 : this.random.below(8);
    for (let i = 0; i < count; i++) chunks.push(this.bytes());
    if (this.random.chance(0.1)) chunks[this.random.below(chunks.length + 3)] = this.strange();
    if (this.random.chance(0.05) && chunks.length > 1) {
      const victim = chunks[0] as Uint8Array;
      Object.defineProperty(chunks, chunks.length - 1, {
        get: () => {
          takeAway(victim);
          if (this.random.chance(0.3)) throw new TypeError("from a getter");
          return victim;
        },
      });
    }
    return this.random.chance(0.05) ? new Proxy(chunks, {}) : chunks;
  }

  private someFds(): Int32Array {
    return Int32Array.from({ length: this.random.below(5) }, () => this.fd());
  }

  /** Slots that hold addresses of this machine, and lengths of which some are wrong. */
  private newSlots(): Uint8Array {
    if (this.random.chance(0.98)) return this.bytes();
    this.slots = new Slots();
    return this.slots.memory;
  }

  private fewSlots(): number {
    const count = this.random.below(SLOTS + 3) - 1;
    for (let slot = 0; slot < Math.min(count, 4); slot++) this.fillSlot(slot);
    return count;
  }

  /** Puts an address into slot 0: its length, or a wrong one. */
  private addressed(): number {
    const length = this.fillSlot(0);
    return this.random.chance(0.1) ? this.int() : length;
  }

  private fillSlot(slot: number): number {
    const bytes = this.sockaddr();
    const name = Sockaddr.of(bytes.length > 112 ? new Uint8Array(0) : bytes);
    this.slots.put(slot, new Uint8Array(this.random.below(100)), name);
    if (this.random.chance(0.05)) {
      const heads = new Int32Array(this.slots.memory.buffer);
      heads[slot * 32 + this.random.below(2)] = this.int();
    }
    return name.length;
  }

  private ints(): Int32Array {
    const length = this.pick([0, 1, 2, 3, 4, 12, 30, 1000]);
    if (this.random.chance(0.5)) return new Int32Array(length);
    return new Int32Array(new SharedArrayBuffer(length * 4));
  }

  private strange(): unknown {
    const values: unknown[] = [
      undefined,
      null,
      "5",
      "",
      {},
      [],
      [1, 2],
      true,
      1n,
      Symbol("s"),
      () => {},
      new Date(),
      new ArrayBuffer(64),
      new DataView(new ArrayBuffer(64)),
      new Float64Array(8),
      new BigInt64Array(8),
      new Int8Array(8),
      Float16 === undefined ? /x/ : new Float16(200),
      Number.NaN,
      Infinity,
      1.5,
      2 ** 32 + 3,
      new Proxy(new Uint8Array(8), {}),
      Object.create(Uint8Array.prototype),
      new (class extends Uint8Array {})(9),
    ];
    return this.pick(values);
  }

  private value(): unknown {
    const makers: (() => unknown)[] = [
      () => this.fd(),
      () => this.int(),
      () => this.bytes(),
      () => this.sockaddr(),
      () => new Uint8Array(132 + this.random.below(3)),
      () => this.chunks(),
      () => this.ints(),
      () => this.strange(),
      () => this.pick([...this.handles, undefined]),
    ];
    return this.pick(makers)();
  }

  // ---- calls

  /** Arguments that make sense to the function. */
  private sensible(name: string): unknown[] {
    const { random } = this;
    const fd = this.fd();
    const addressed = (): unknown[] => [fd, this.sockaddr()];
    const named = (): unknown[] => [fd, new Uint8Array(132)];
    const option = (): unknown[] => [fd, this.pick([0, 1, 6, 41]), random.below(60), this.bytes()];
    const vector = (): unknown[] => [fd, this.chunks(), random.below(3), random.below(4)];
    const handle = (): unknown[] => [this.pick([...this.handles, undefined])];
    const context = (): unknown => this.pick([...this.contexts, undefined]);
    const table: Record<string, () => unknown[]> = {
      socket: () => [this.pick(FAMILIES), this.pick(TYPES), 0],
      socketpair: () => [AF_UNIX, this.pick(TYPES), new Int32Array(2)],
      bind: addressed,
      connect: addressed,
      accept4: named,
      getsockname: named,
      getpeername: named,
      setsockopt: option,
      getsockopt: option,
      writev: vector,
      readv: vector,
      listen: () => [fd, this.int()],
      pipe2: () => [new Int32Array(2)],
      setPipeSize: () => [fd, random.below(70_000)],
      splice: () => [fd, this.fd(), random.below(5000)],
      sendfile: () => [fd, this.fd(), this.pick([0, 5, 2 ** 40]), random.below(5000)],
      shutdown: () => [fd, random.below(4)],
      sendScratch: () => [fd, random.below(70_000)],
      setScratch: () => [new Uint8Array(new SharedArrayBuffer(this.size()))],
      setSlots: () => [this.newSlots()],
      recvmmsg: () => [fd, this.fewSlots()],
      sendmmsg: () => [fd, this.fewSlots(), random.below(2)],
      sendto: () => [fd, this.bytes(), random.below(8), random.below(20), this.addressed()],
      sendScratchTo: () => [fd, random.below(60), this.addressed()],
      ifNameToIndex: () => [random.chance(0.5) ? Buffer.from("lo") : this.bytes()],
      epollCtl: () => [fd, random.below(4), this.fd(), this.int(), this.int(), this.int()],
      epollWait: () => [fd, this.ints(), 0],
      pollOpen: () => [fd, this.ints(), this.ints(), this.int(), () => {}],
      sendmsgFds: () => [fd, this.bytes(), 0, random.below(9), this.someFds()],
      recvmsgFds: () => [fd, this.bytes(), 0, random.below(9), new Int32Array(random.below(6))],
      adoptFd: () => [fd],
      releaseFd: () => [fd],
      dupFd: () => [fd],
      takeFd: () => [fd, this.bytes(), 0, random.below(9), new Int32Array(random.below(3))],
      tlsInit: () => [this.ints()],
      tlsRoots: () => [this.bytes()],
      tlsContext: () => [],
      tlsContextUse: () => [context(), random.below(15), this.bytes(), this.bytes()],
      tlsContextLimits: () => [context(), 0x303, 0x304, random.below(2), 300, random.below(3)],
      tlsContextFailure: () => [],
      tlsOpen: () => [
        ...[fd, context(), random.below(2), random.below(4), random.below(2)],
        this.bytes(),
      ],
      tlsChoose: () => [fd, this.pick([context(), null, undefined])],
      tlsSendScratch: () => [fd, random.below(70_000)],
      tlsWritev: vector,
      tlsResume: () => [fd, this.bytes()],
      tlsAsk: () => [fd, random.below(5), this.pick(["localhost", "::1", ""])],
      pollRef: handle,
      pollClose: handle,
    };
    const make = table[name];
    return make === undefined ? [fd, this.bytes(), random.below(8), random.below(20)] : make();
  }

  private args(name: string): unknown[] {
    const { random } = this;
    const args = this.sensible(name);
    // One is anything, or several are, or some are missing.
    if (random.chance(0.4) && args.length > 0) args[random.below(args.length)] = this.value();
    if (random.chance(0.1)) args.length = random.below(args.length + 1);
    if (random.chance(0.1)) for (let i = 0; i < args.length; i++) args[i] = this.value();
    return this.harmless(name, args);
  }

  /** Nothing may wait, read or write where this process lives, or leave this machine. */
  private harmless(name: string, args: unknown[]): unknown[] {
    const isFd = (value: unknown): boolean =>
      typeof value !== "number" || this.fds.includes(value) || value < 0 || value > 100_000;
    // What arrives becomes non-blocking, which standard output must not.
    if (name === "sendmsgFds" && args[4] instanceof Int32Array) args[4] = this.someFds();
    const fdPlaces = FD_PLACES[name] ?? [0];
    for (const at of fdPlaces) if (at in args && !isFd(args[at])) args[at] = this.fd();
    if (name === "epollWait" && typeof args[2] === "number" && Number.isInteger(args[2])) {
      args[2] = this.random.chance(0.02) ? 1 : 0;
    }
    if (name === "socket" && typeof args[0] === "number") args[0] = this.pick(FAMILIES);
    if (name === "socket" && typeof args[1] === "number") args[1] = this.pick(TYPES);
    if ((name === "bind" || name === "connect") && isUint8Array(args[1])) {
      args[1] = args[1].length < 2 || args[1].length > 128 ? args[1] : this.sockaddr();
    }
    return args;
  }

  private made(name: string, args: unknown[], result: unknown): void {
    if (name === "pollOpen" && typeof result !== "number") this.handles.push(result);
    if (name === "tlsContext" && this.contexts.push(result) > 20) this.contexts.shift();
    if (typeof result !== "number" || result < 0) return;
    const makers = ["socket", "accept4", "eventfd", "epollCreate1", "dupFd"];
    if (makers.includes(name)) this.fds.push(result);
    if (name === "takeFd") {
      const [taken = -1] = args[4] as Int32Array;
      if (taken !== -1) this.fds.push(taken);
    }
    if (name === "recvmsgFds") {
      const [arrived = 0, , ...fds] = args[4] as Int32Array;
      this.fds.push(...fds.slice(0, arrived).filter((fd) => fd >= 0));
    }
    // Or nobody would close it.
    if (name === "releaseFd") this.kernel.adoptFd(args[0] as number);
    if (name === "socketpair") this.fds.push(...(args[2] as Int32Array).subarray(0, 2));
    if (name === "pipe2") this.fds.push(...(args[0] as Int32Array).subarray(0, 2));
    if (name === "close") this.fds.splice(this.fds.indexOf(args[0] as number), 1);
  }

  private resizeSomething(): void {
    if (this.held.length > 50) this.held.splice(0, 25);
    const memory = this.held[0] as { resize?(n: number): void } | undefined;
    try {
      memory?.resize?.(this.random.below(2));
    } catch {
      // Detached meanwhile.
    }
  }

  /** One call. What it answers is a number, undefined, or a handle; what it throws is about types. */
  step(names: readonly string[]): void {
    const name = this.pick(names);
    if (name === "pollOpen" && this.handles.length > 20) return;
    const args = this.args(name);
    try {
      const result = ((this.kernel as unknown as Record<string, Call>)[name] as Call)(...args);
      this.answered++;
      const type = typeof result;
      const handles = name === "pollOpen" || name.startsWith("tls");
      if (type !== "number" && type !== "undefined" && !handles) {
        throw new Error(`${name} answered with a ${type}`);
      }
      this.made(name, args, result);
    } catch (error) {
      this.threw++;
      if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    }
    if (this.random.chance(0.01)) this.resizeSomething();
    while (this.fds.length > MOST_FDS) {
      const fd = this.fds.shift() as number;
      this.kernel.tlsClose(fd);
      this.kernel.close(fd);
    }
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function child(seed: number): Promise<void> {
  // Most calls throw, and nobody looks at their stacks.
  Error.stackTraceLimit = 0;
  const fuzzer = new Fuzzer(new Random(seed));
  const names = Object.keys(fuzzer.kernel);
  for (let i = 0; i < CALLS / PROCESSES; i++) {
    fuzzer.step(names);
    // The poll handles get their turn as well.
    if (i % 1000 === 0) await turn();
  }
  console.log(`${fuzzer.answered} answered, ${fuzzer.threw} threw`);
  process.exit(0);
}

async function parent(): Promise<void> {
  for (let part = 0; part < PROCESSES; part++) {
    const given = Number(process.env.CORONET_SEED);
    const seed = given > 0 ? given : 1 + Math.floor(Math.random() * 0xffff_fff0);
    test(`random calls kill nobody, seed ${seed}`, () => {
      const cwd = mkdtempSync(join(tmpdir(), "coronet-fuzz-"));
      const { status, signal, stdout, stderr } = spawnSync(
        process.execPath,
        [fileURLToPath(import.meta.url), String(seed)],
        {
          cwd,
          encoding: "utf8",
          env: { ...process.env, CORONET_FUZZ: "1" },
          stdio: ["ignore", "pipe", "pipe"],
        },
      );
      rmSync(cwd, { recursive: true });
      const repeat = `CORONET_SEED=${seed} node --test dist/src/syscall/fuzz.test.js`;
      const how = `status ${status}, signal ${signal}; to repeat it: ${repeat}\n${stdout}${stderr}`;
      assert.deepEqual([status, signal], [0, null], how);
      const [, answered, threw] = /^(\d+) answered, (\d+) threw/.exec(stdout) ?? [];
      // Both must be common, or it tests less than it says.
      assert.ok(Number(answered) > CALLS / PROCESSES / 4, how);
      assert.ok(Number(threw) > CALLS / PROCESSES / 10, how);
    });
  }
}

if (process.env.CORONET_FUZZ === "1") await child(Number(process.argv[2]));
else await parent();
