/**
 * fake_kernel_world.ts: one run from one seed: a fake kernel and host, a runtime, and a random program
 * of goroutines on it; then the accounts are checked.
 *
 * A run has a listener and some clients. Clients and server agree on one of a few plans; within the
 * plan sizes, orders, deadlines, signals, half-closes and closes are drawn. Whatever happens, every
 * connection is closed in the end, so a run always comes to its end, and then nothing may be left.
 */
import { getEventListeners } from "node:events";
import { type Conn, NetError, TCPConn } from "../src/index.ts";
import { Random } from "../src/internal/random.ts";
import { TCPAddr } from "../src/net/addr.ts";
import { dialOn } from "../src/net/dial.ts";
import { listenOn } from "../src/net/listen.ts";
import { Listener } from "../src/net/listener.ts";
import { NOBODY } from "../src/net/socket.ts";
import { connect } from "../src/poll/connect.ts";
import { FD } from "../src/poll/fd.ts";
import { READER, WRITER } from "../src/poll/op.ts";
import { go } from "../src/runtime/goroutine.ts";
import { onPanic } from "../src/runtime/panic.ts";
import { Runtime } from "../src/runtime/runtime.ts";
import { AF_INET, SOCK_STREAM } from "../src/syscall/constants.ts";
import { encodeInet } from "../src/syscall/sockaddr.ts";
import { drawFaults } from "../testing/fake_faults.ts";
import { FakeClock, FakeHost, Stuck } from "../testing/fake_host.ts";
import { FakeKernel } from "../testing/fake_kernel.ts";
import type { FakeSocket } from "../testing/fake_network.ts";
import { End } from "./fake_kernel_end.ts";
import { behave, PLANS, type Plan } from "./fake_kernel_plans.ts";

/** What a run found. */
export class Defect extends Error {}

const PORT = 2333;
const NAME = "@fake";
/** Codes with which a dial or a socket may fail when the kernel is short of something. */
const SHORT = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ENOSPC"];
const UNREACHABLE = ["ENETUNREACH", "EADDRNOTAVAIL", "ECONNREFUSED", "ETIMEDOUT", "EHOSTUNREACH"];
const DIAL_ERRORS = new Set([...SHORT, ...UNREACHABLE, "ECONNRESET", "ERR_DEADLINE"]);

/** How long an accept that met a shortage may wait until it asks again, and a timer's resolution. */
const LONGEST_PAUSE_MS = 200 + 1;

interface Other {
  socket: FakeSocket;
  /** Calls of accept4 when they were last counted, and since when the number is that. */
  accepts: number;
  since: number;
}

export class World {
  readonly seed: number;
  readonly random: Random;
  readonly kernel: FakeKernel;
  readonly clock = new FakeClock();
  readonly host: FakeHost;
  readonly runtime: Runtime;
  readonly plan: Plan;
  readonly ends: End[] = [];
  readonly problems: string[] = [];
  /** FDs that are connecting or listening. */
  private readonly others = new Map<FD, Other>();
  private readonly signals: AbortSignal[] = [];
  /** Each FD gets a kernel of its own that knows when the FD's file is gone. */
  private readonly guarded: boolean;
  private readonly unix: boolean;
  private dialling = 0;
  /** The listener is closed or about to be. */
  private done = false;

  constructor(seed: number) {
    this.seed = seed;
    this.random = mixed(seed);
    const { random } = this;
    this.kernel = new FakeKernel(random, {
      faults: drawFaults(random),
      sendBuffer: 1 + random.below(random.chance(0.5) ? 32 : 600),
      receiveBuffer: 1 + random.below(random.chance(0.5) ? 32 : 600),
      maxFds: random.chance(0.3) ? 4 + random.below(8) : 1024,
    });
    this.kernel.network.now = () => this.clock.time;
    this.host = new FakeHost(this.kernel, random, this.clock);
    this.runtime = new Runtime(this.kernel, this.host, this.clock);
    this.host.quiet = () => this.checkWaiting();
    this.plan = PLANS[random.below(PLANS.length)] as Plan;
    this.guarded = random.chance(0.6);
    this.unix = !this.guarded && random.chance(0.3);
  }

  /** Runs to the end; throws a Defect when anything was wrong. */
  async run(): Promise<void> {
    const escaped = (error: unknown): void => this.problem(`escaped: ${stackOf(error)}`);
    const before = onPanic(escaped);
    process.on("unhandledRejection", escaped);
    try {
      await this.runProgram();
      if (this.problems.length === 0) await this.checkEnd();
    } catch (error) {
      this.problem(error instanceof Stuck ? this.whoWaits(error) : stackOf(error));
    } finally {
      process.off("unhandledRejection", escaped);
      onPanic(before);
    }
    if (this.problems.length > 0) throw new Defect(this.problems.join("\n"));
  }

  private async runProgram(): Promise<void> {
    let over = false;
    const end = (): void => {
      over = true;
    };
    go(() => this.main())
      .join()
      .catch((error: unknown) => this.problem(`the program failed: ${stackOf(error)}`))
      .then(end, end);
    await this.host.run(() => over || this.problems.length > 0);
  }

  private whoWaits(stuck: Stuck): string {
    const waiting = this.ends.flatMap((end) =>
      [...end.pending].map((op) => `${end.name} in ${op.kind}${end.closed ? ", closed" : ""}`),
    );
    return `${stuck.message}; ${this.runtime.parked} holds; waiting: ${waiting.join("; ") || "nobody"}`;
  }

  problem(what: string): void {
    this.problems.push(what);
  }

  /** A random number of ms: mostly short, sometimes none, sometimes long. */
  ms(): number {
    const { random } = this;
    const kind = random.below(10);
    return kind === 0 ? 0 : kind === 1 ? random.below(500) : 1 + random.below(20);
  }

  sleep(ms = this.ms()): Promise<void> {
    return this.runtime.sleep(ms);
  }

  /** A signal that is aborted sooner or later, or was before. */
  signal(): AbortSignal {
    const controller = new AbortController();
    this.signals.push(controller.signal);
    if (this.random.chance(0.2)) controller.abort(new Error("before"));
    else go(async () => this.sleep().then(() => controller.abort(new Error("later"))));
    return controller.signal;
  }

  /** Mostly none. */
  maybeSignal(): AbortSignal | undefined {
    return this.random.chance(0.08) ? this.signal() : undefined;
  }

  // ---- the program

  private async main(): Promise<void> {
    while (this.runtime.start() < 0) await new Promise<void>((resolve) => this.host.soon(resolve));
    const listeners = await this.listeners();
    const servers = listeners.map((listener) => go(() => this.serve(listener)).join());
    const clients: Promise<void>[] = [];
    for (let i = 1 + this.random.below(3); i > 0; i--) clients.push(go(() => this.client()).join());
    await Promise.all(clients);
    await this.sleep();
    this.done = true;
    for (const listener of listeners) await listener.close();
    await Promise.all(servers);
  }

  private async listeners(): Promise<Listener[]> {
    if (this.unix) return [await this.listen("unix", NAME)];
    const listeners = [await this.listen("tcp4", `127.0.0.1:${PORT}`)];
    // Where both families answer, a dial by name has a winner and a loser.
    if (!this.guarded && this.random.chance(0.5)) {
      listeners.push(await this.listen("tcp6", `[::1]:${PORT}`));
    }
    return listeners;
  }

  private async listen(network: "tcp4" | "tcp6" | "unix", address: string): Promise<Listener> {
    for (;;) {
      try {
        if (this.guarded) return this.listenGuarded();
        const backlog = 1 + this.random.below(3);
        const listener = await listenOn(this.runtime, network, address, { backlog });
        this.watch((listener as unknown as { fd: FD }).fd);
        return listener;
      } catch (error) {
        if (!(error instanceof NetError) || !SHORT.includes(error.code)) throw error;
        await this.sleep(10);
      }
    }
  }

  private listenGuarded(): Listener {
    const { kernel } = this;
    const sysfd = kernel.socket(AF_INET, SOCK_STREAM);
    if (sysfd < 0) throw NOBODY.error("accept", -sysfd);
    kernel.bind(sysfd, sockaddr);
    kernel.listen(sysfd, 1 + this.random.below(3));
    const addr = new TCPAddr("127.0.0.1", PORT);
    const origin = { network: "tcp4", addr } as const;
    const adopt = (n: number, peer: string): TCPConn => new TCPConn(this.fd(n), origin, peer);
    const fd = this.fd(sysfd);
    this.watch(fd);
    return new Listener(fd, "tcp4", addr, adopt, undefined);
  }

  /** An FD whose every call is checked against the file that it was made for. */
  private fd(sysfd: number): FD {
    const { runtime } = this;
    const kernel = this.kernel.guard(sysfd);
    return new FD({ kernel, poller: runtime.poller, runtime }, sysfd, NOBODY, false);
  }

  private watch(fd: FD): void {
    const socket = this.kernel.socketOf(fd.sysfd);
    this.others.set(fd, { socket, accepts: 0, since: 0 });
  }

  private async serve(listener: Listener): Promise<void> {
    const handlers: Promise<void>[] = [];
    let accepted = 0;
    for (;;) {
      try {
        if (this.random.chance(0.1)) this.acceptDeadline(listener);
        const conn = await listener.accept({ signal: this.maybeSignal() });
        const end = this.end(`server ${accepted++}`, conn);
        handlers.push(go(() => behave(end, "server")).join());
        if (this.random.chance(0.3)) await this.sleep();
      } catch (error) {
        const { code } = error as NetError;
        if (code === "ERR_CLOSED" || this.done) break;
        if (code === "ERR_DEADLINE") listener.setDeadline(null);
        else if (code !== "ERR_CANCELED" && !SHORT.includes(code)) throw error;
      }
    }
    await Promise.all(handlers);
  }

  private acceptDeadline(listener: Listener): void {
    listener.setDeadline(new Date(this.clock.wall() + this.ms() - 2));
  }

  private end(name: string, conn: Conn): End {
    const { fd } = conn as TCPConn;
    const end = new End(this, name, conn, fd);
    this.ends.push(end);
    return end;
  }

  private async client(): Promise<void> {
    const number = this.dialling++;
    if (this.random.chance(0.7)) await this.sleep();
    for (let attempts = 3; attempts > 0; attempts--) {
      const signal = this.maybeSignal();
      try {
        const conn = await this.dial(signal);
        await behave(this.end(`client ${number}`, conn), "client");
        return;
      } catch (error) {
        this.judgeDial(error, signal);
        await this.sleep();
      }
    }
  }

  private dial(signal: AbortSignal | undefined): Promise<Conn> {
    // The network may never answer, so every dial has a limit.
    const timeout = 1 + this.random.below(this.random.chance(0.3) ? 10 : 2000);
    if (this.guarded) return this.dialGuarded(timeout, signal);
    if (this.unix) return dialOn(this.runtime, "unix", NAME, { timeout, signal });
    const lookupHost = async (): Promise<string[]> => ["::1", "127.0.0.1"];
    const host = this.random.chance(0.5) ? "name.test" : "127.0.0.1";
    const resolver = { lookupHost };
    const fallbackDelay = 1 + this.random.below(20);
    const options = { timeout, signal, resolver, fallbackDelay };
    return dialOn(this.runtime, "tcp", `${host}:${PORT}`, options);
  }

  private async dialGuarded(timeout: number, signal: AbortSignal | undefined): Promise<Conn> {
    const sysfd = this.kernel.socket(AF_INET, SOCK_STREAM);
    if (sysfd < 0) throw NOBODY.error("connect", -sysfd);
    const fd = this.fd(sysfd);
    this.watch(fd);
    try {
      fd.limits().setUntil(WRITER, this.clock.now() + timeout);
      await connect(fd, this.kernel.guard(sysfd), sockaddr, signal);
      fd.limits().setUntil(WRITER, Infinity);
      const origin = { network: "tcp4", addr: undefined } as const;
      return new TCPConn(fd, origin, new TCPAddr("127.0.0.1", PORT));
    } catch (error) {
      await fd.close();
      throw error;
    }
  }

  private judgeDial(error: unknown, signal: AbortSignal | undefined): void {
    if (!(error instanceof NetError)) throw error;
    if (error.code === "ERR_CANCELED" && signal?.aborted === true) return;
    if (!DIAL_ERRORS.has(error.code)) this.problem(`a dial failed: ${error.stack}`);
  }

  // ---- the accounts

  /** Only time can make anything happen: nobody may wait for what is there already. */
  private checkWaiting(): void {
    const { runtime, host } = this;
    for (const end of this.ends) end.checkWaiting();
    for (const [fd, other] of this.others) {
      if (fd.closing) this.others.delete(fd);
      else if (other.socket.state === "listening") this.checkListening(fd, other);
      else this.checkConnecting(fd, other.socket);
    }
    if (runtime.parked > 0 && !host.referenced)
      this.problem("the process would end before its work");
    if (runtime.sched.length > 0) this.problem("the run queue was forgotten");
    if (this.problems.length > 0) throw new Defect(this.problems.join("\n"));
  }

  private checkListening(fd: FD, other: Other): void {
    const { backlog, short, accepts } = other.socket;
    if (!fd.isWaiting(READER) || backlog.length === 0) return;
    if (!short) this.problem("lost wake-up of an accept");
    if (accepts !== other.accepts) {
      other.accepts = accepts;
      other.since = this.clock.time;
    }
    if (this.clock.time > other.since + LONGEST_PAUSE_MS)
      this.problem("accept was not tried again");
  }

  private checkConnecting(fd: FD, socket: FakeSocket): void {
    if (socket.state === "connecting" || !fd.isWaiting(WRITER)) return;
    if (socket.writable) this.problem("lost wake-up of a connect");
  }

  private async checkEnd(): Promise<void> {
    const { runtime, kernel, host } = this;
    // What is still under way: the sleeps that come before an abort.
    await host.run(() => runtime.parked === 0);
    for (const end of this.ends) {
      end.checkAccounts(this.ends.find((other) => other.socket === end.peer));
    }
    this.problems.push(...kernel.violations);
    const { poller } = runtime;
    for (const fd of kernel.openFds()) {
      if (!poller.isPollDescriptor(fd)) this.problem(`fd ${fd} was left open`);
    }
    this.expect("open descriptors", runtime.cache.size, 0);
    this.expect("armed timers", runtime.timers.size, 0);
    this.expect("holds", runtime.parked, 0);
    this.expect("stale events seen", poller.stale, host.staleDelivered);
    for (const signal of this.signals) {
      this.expect("listeners of a signal", getEventListeners(signal, "abort").length, 0);
    }
  }

  private expect(what: string, actual: number, wanted: number): void {
    if (actual !== wanted) this.problem(`${what}: ${actual} instead of ${wanted}`);
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? String(error)) : String(error);
}

const sockaddr = encodeInet({
  family: AF_INET,
  ip: Uint8Array.of(127, 0, 0, 1),
  port: PORT,
  scope: 0,
});

/** Seeds that are near each other must not begin alike. */
export function mixed(seed: number): Random {
  const random = new Random(Math.imul(seed, 0x9e37_79b1) ^ 0x5bd1_e995);
  for (let i = 0; i < 8; i++) random.next();
  return random;
}
