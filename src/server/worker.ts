/**
 * worker.ts: a worker, as its supervisor sees it: a process, a thread, or this very thread.
 *
 *   starting ──ready──▶ serving ──drain──▶ draining ──▶ ended
 *       └──────────────────┴── fails, exits, is killed ────▲
 */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Worker as Thread } from "node:worker_threads";
import type { Listener } from "../net/listener.ts";
import { parked, type Resolve, resolver } from "../runtime/park.ts";
import type { Boot, Order, Report } from "./control.ts";
import { withoutService } from "./environment.ts";
import { Service } from "./service.ts";
import { noTotals, type ServiceStats, type WorkerState, type WorkerStats } from "./stats.ts";

/** What a worker has, beyond its drain timeout, to end by itself before it is killed, in ms. */
const PATIENCE_MS = 3000;
const LONGEST_MS = 0x7fff_ffff;
/** How long a worker may take to tell its numbers, in ms: a busy one is not waited for. */
const STATS_MS = 500;

/** A worker could not begin. */
export class WorkerError extends Error {
  override readonly name: string = "WorkerError";
  readonly code = "ERR_WORKER";
}

export abstract class Worker {
  readonly boot: Boot;
  state: WorkerState | "ended" = "starting";
  /** It was told to end. */
  asked = false;
  /** When it began to serve, by performance.now(); undefined before. */
  servingSince: number | undefined;
  /** Its numbers, as it told them last. */
  last: ServiceStats = { ...noTotals(), live: 0, goroutines: 0, goroutinesPeak: 0 };
  /** Resolves when it serves; fails when it does not come so far. */
  readonly ready: Promise<void>;
  /** Resolves when it accepts no more. */
  readonly left: Promise<void>;
  /** Resolves when it is gone, to how it went: "exited with status 1". */
  readonly ended: Promise<string>;
  /** Told when it has served as many requests as it should. */
  onRecycle: () => void = () => {};
  private readonly begun: Resolve<void>;
  private readonly gone: Resolve<string>;
  private readonly leaves: Resolve<void>;
  private failure: string | undefined;
  private askers: Resolve<void>[] = [];

  constructor(boot: Boot) {
    this.boot = boot;
    this.ready = parked<void>();
    this.begun = resolver<void>();
    this.left = parked<void>();
    this.leaves = resolver<void>();
    this.ended = parked<string>();
    this.gone = resolver<string>();
    // Whoever waits for `ready` sees its failure; nobody has to.
    this.ready.catch(() => {});
  }

  abstract get pid(): number;
  abstract get thread(): number;
  protected abstract tell(order: Order): void;
  /** Ends it at once. */
  abstract kill(): void;

  /** What it is called in messages. */
  get name(): string {
    const { id } = this.boot;
    return this.thread === 0
      ? `worker ${id} (pid ${this.pid})`
      : `worker ${id} (thread ${this.thread})`;
  }

  /** Lets it finish what it has; resolves when it is gone, by force when it takes too long. */
  async drain(timeout: number): Promise<void> {
    this.asked = true;
    if (this.state === "ended") return;
    this.state = "draining";
    this.tell({ type: "drain", timeout });
    const timer = setTimeout(() => this.kill(), Math.min(timeout + PATIENCE_MS, LONGEST_MS));
    await this.ended;
    clearTimeout(timer);
  }

  /** Its numbers, as of now where it answers in time. */
  async stats(): Promise<WorkerStats> {
    const { id, index } = this.boot;
    if (this.state !== "ended") await this.ask();
    const state = this.state === "ended" ? "draining" : this.state;
    return { ...this.last, id, index, pid: this.pid, thread: this.thread, state };
  }

  private async ask(): Promise<void> {
    const answered = parked<void>();
    this.askers.push(resolver());
    this.tell({ type: "stats" });
    const timer = setTimeout(() => this.answer(), STATS_MS);
    await answered;
    clearTimeout(timer);
  }

  private answer(): void {
    const { askers } = this;
    this.askers = [];
    for (const wake of askers) wake();
  }

  protected onReport(report: Report): void {
    if (report.type === "stats") {
      this.last = report.stats;
      this.answer();
    } else if (report.type === "left") this.leaves();
    else if (report.type === "recycle") this.onRecycle();
    else if (report.type === "failed") this.failure = report.error;
    else {
      this.servingSince = performance.now();
      if (this.state === "starting") this.state = "serving";
      this.begun();
    }
  }

  protected onEnded(how: string): void {
    if (this.state === "ended") return;
    this.state = "ended";
    const what = this.failure === undefined ? how : `failed: ${this.failure}`;
    if (this.servingSince === undefined) {
      this.begun(Promise.reject(new WorkerError(`worker ${this.boot.id} ${what}`)));
    }
    this.leaves();
    this.gone(what);
    this.answer();
  }
}

/** Where a worker's listening sockets, or its inbox, are among a child's fds: after stdin, stdout, stderr, channel. */
const FIRST_FD = 4;

class ProcessWorker extends Worker {
  private readonly child: ChildProcess;

  constructor(boot: Boot) {
    super(boot);
    const { inbox } = boot;
    const fds = inbox === undefined ? boot.sockets.map(({ fd }) => fd) : [inbox.fd];
    this.child = fork(fileURLToPath(new URL("./worker_process.js", import.meta.url)), [], {
      stdio: ["ignore", "inherit", "inherit", "ipc", ...fds],
      serialization: "advanced",
      env: withoutService(process.env),
    });
    this.child.on("message", (report) => this.onReport(report as Report));
    this.child.on("error", (error) => this.onEnded(`could not be started: ${error.message}`));
    // Not "exit": what the worker said last is still to be read then.
    this.child.on("close", (status, signal) => {
      this.onEnded(signal === null ? `exited with status ${status}` : `was ended by ${signal}`);
    });
    const sockets = boot.sockets.map((socket, i) => ({ ...socket, fd: FIRST_FD + i }));
    this.send({ ...boot, sockets, inbox: inbox && { ...inbox, fd: FIRST_FD } });
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get thread(): number {
    return 0;
  }

  protected tell(order: Order): void {
    this.send(order);
  }

  private send(message: Boot | Order): void {
    if (this.child.connected) this.child.send(message, () => {});
  }

  kill(): void {
    this.child.kill("SIGKILL");
  }
}

class ThreadWorker extends Worker {
  private readonly worker: Thread;
  readonly thread: number;

  constructor(boot: Boot) {
    super(boot);
    this.worker = new Thread(new URL("./worker_thread.js", import.meta.url), {
      workerData: boot,
      name: `coronet worker ${boot.id}`,
    });
    this.thread = this.worker.threadId;
    let error: unknown;
    this.worker.on("message", (report: Report) => this.onReport(report));
    this.worker.on("error", (thrown) => {
      error = thrown;
    });
    this.worker.on("exit", (status) => {
      const text = error instanceof Error ? error.stack : String(error);
      this.onEnded(error === undefined ? `exited with status ${status}` : `threw ${text}`);
    });
  }

  get pid(): number {
    return process.pid;
  }

  protected tell(order: Order): void {
    this.worker.postMessage(order);
  }

  kill(): void {
    void this.worker.terminate();
  }
}

/** The only worker of a server without others: this thread. */
class LocalWorker extends Worker {
  private readonly service: Service;

  constructor(boot: Boot, listeners: readonly Listener[]) {
    super(boot);
    this.service = new Service(boot, { listeners }, () => {});
    this.service.start().then(
      () => this.onReport({ type: "ready" }),
      (error: unknown) => {
        this.onReport({ type: "failed", error: (error as Error).stack ?? String(error) });
        this.onEnded("failed");
      },
    );
  }

  get pid(): number {
    return process.pid;
  }

  get thread(): number {
    return 0;
  }

  protected tell(order: Order): void {
    if (order.type === "stats") this.onReport({ type: "stats", stats: this.service.stats });
    else void this.end(order.timeout);
  }

  private async end(timeout: number): Promise<void> {
    let how = "ended";
    try {
      await this.service.drain(timeout, () => this.onReport({ type: "left" }));
    } catch (error) {
      how = `failed in stop(): ${(error as Error).stack ?? error}`;
    }
    this.onReport({ type: "stats", stats: this.service.stats });
    this.onEnded(how);
  }

  kill(): void {
    void this.end(0);
  }
}

/** Starts a worker. `listeners` are this thread's own. */
export function startWorker(boot: Boot, listeners: readonly Listener[]): Worker {
  if (boot.model === "thread") return new ThreadWorker(boot);
  if (boot.model === "base" && boot.workers === 1) return new LocalWorker(boot, listeners);
  return new ProcessWorker(boot);
}
