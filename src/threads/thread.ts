/**
 * thread.ts: one reactor thread, seen from the thread that started it.
 *
 *   starting ──ready──▶ ready ──serve──▶ serving ──drain──▶ draining ──▶ ended
 *       └──────────────────┴── fails, exits, is terminated ───────────────▲
 */
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import type { Listener } from "../net/listener.ts";
import { parked, type Resolve, resolver } from "../runtime/park.ts";
import { Counters, type ThreadStats } from "./counters.ts";
import type { Exchange } from "./exchange.ts";
import type { Hub } from "./hub.ts";
import type { Boot, Order, Report, Source } from "./protocol.ts";

/** A reactor thread failed: it threw, or ended without being asked to. */
export class ThreadError extends Error {
  override readonly name = "ThreadError";
  readonly code = "ERR_THREAD";
  /** The thread's id. */
  readonly thread: number;

  constructor(thread: number, text: string, cause?: unknown) {
    super(`thread ${thread}: ${text}`, cause === undefined ? undefined : { cause });
    this.thread = thread;
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? String(error)) : String(error);
}

/** The worker of the package's own, beside this file. */
const PROGRAM = new URL("./worker.js", import.meta.url);

const LONGEST_TIMER = 0x7fff_ffff;

/** A reactor thread. */
export class Thread {
  /** Its number: never given twice. */
  readonly id: number;
  /** Its place among the threads that run at once. */
  readonly index: number;
  /** @internal */
  readonly counters = new Counters();
  /** @internal Resolves when it has ended; to what failed it, or undefined when it was asked to end. */
  readonly ended: Promise<ThreadError | undefined>;
  /** @internal Where connections are placed on it. */
  inbox: { readonly underway: number; readonly stalled: boolean } | undefined;
  /** @internal What it accepts from, where that is its own. */
  source: Listener | undefined;
  /** @internal True from when it serves: until then its failure is that of its start. */
  started = false;
  /** @internal Resolves when nothing of it is left here either. */
  readonly gone: Promise<void>;
  /** @internal */
  readonly forget: Resolve<void>;
  /** @internal */
  readonly route: Exchange;
  private readonly worker: Worker;
  private readonly port: MessagePort;
  private readonly left: (id: number) => void;
  private asked = false;
  private over = false;
  private error: ThreadError | undefined;
  private readonly waiting = new Map<Report["type"], Resolve<void>>();

  /** @internal */
  constructor(boot: Omit<Boot, "port" | "counters">, hub: Hub) {
    this.id = boot.id;
    this.index = boot.index;
    this.route = hub.exchange;
    this.left = (id) => hub.left(this, id);
    this.gone = parked<void>();
    this.forget = resolver();
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    const counters = this.counters.memory;
    this.worker = new Worker(PROGRAM, {
      workerData: { ...boot, port: port2, counters } satisfies Boot,
      transferList: [port2],
    });
    port1.on("message", (report: Report) => this.onReport(report));
    // The worker itself keeps the process alive.
    port1.unref();
    this.worker.on("error", (cause) => {
      this.error ??= new ThreadError(this.id, textOf(cause), cause);
    });
    this.ended = parked<ThreadError | undefined>();
    const resolve = resolver<ThreadError | undefined>();
    this.worker.on("exit", (code) => resolve(this.onExit(code)));
  }

  /** Numbers about it, as of its last turn; also after its end. */
  get stats(): ThreadStats {
    const { id, index, inbox } = this;
    const underway = inbox?.underway ?? 0;
    return this.counters.read({ id, index, underway, stalled: inbox?.stalled ?? false });
  }

  /** False once it has ended. */
  get alive(): boolean {
    return !this.over;
  }

  /** Ends it at once: its connections are closed, its handlers go no further. */
  async terminate(): Promise<void> {
    this.asked = true;
    await this.worker.terminate();
    await this.gone;
  }

  /** @internal Waits until its module is loaded. Fails when it does not come so far. */
  ready(): Promise<void> {
    return this.awaitReport("ready");
  }

  /** @internal Lets it take connections; resolves when it has its own number for the fd. */
  serve(source: Source): Promise<void> {
    this.tell({ type: "serve", source });
    return this.awaitReport("serving");
  }

  /** @internal Lets it finish what it has; resolves when it has ended, by force after so many ms. */
  async drain(timeout: number): Promise<void> {
    this.asked = true;
    this.tell({ type: "drain" });
    const timer = setTimeout(() => void this.worker.terminate(), Math.min(timeout, LONGEST_TIMER));
    await this.gone;
    clearTimeout(timer);
  }

  /** @internal */
  tell(order: Order): void {
    this.port.postMessage(order);
  }

  private async awaitReport(type: Report["type"]): Promise<void> {
    const reported = parked<void>();
    this.waiting.set(type, resolver());
    if (!this.over) await Promise.race([reported, this.ended]);
    if (this.over) throw this.error ?? new ThreadError(this.id, "was ended while it started");
  }

  private onReport(report: Report): void {
    const { type } = report;
    if (type === "left") this.left(report.id);
    this.waiting.get(type)?.();
    this.waiting.delete(type);
  }

  private onExit(code: number): ThreadError | undefined {
    this.over = true;
    this.port.close();
    if (this.asked) return undefined;
    this.error ??= new ThreadError(this.id, `exited with code ${code}`);
    return this.error;
  }
}
