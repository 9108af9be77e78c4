/**
 * supervisor.ts: keeps a server's workers running.
 *
 * A worker has a place (a slot, by index). Whoever replaces it is started first and takes its place when
 * it serves; only then the old one is told to drain, so a listening socket is never without a worker.
 *
 * Invariants
 *  - A slot has at most one worker that serves or is to serve; workers that drain are in `all` alone.
 *  - A worker that ends unasked is replaced: at once when it had served for a while, else after a pause
 *    that doubles with every such end, up to half a minute. No defect makes a busy loop of starts.
 *  - A reload either replaces every worker or none.
 */
import { Mutex } from "../sync/mutex.ts";
import type { Settings } from "./options.ts";
import { Placing } from "./placing.ts";
import type { Sockets } from "./sockets.ts";
import { addTotals, noTotals, type ServerStats, type Totals, type WorkerStats } from "./stats.ts";
import { startWorker, type Worker } from "./worker.ts";

/** A worker that has served for so long was sound: its end says nothing of its successor. */
const STABLE_MS = 5000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 30_000;

class Slot {
  readonly index: number;
  worker: Worker | undefined;
  /** Ends in a row soon after a start. */
  failures = 0;
  timer: NodeJS.Timeout | undefined;

  constructor(index: number) {
    this.index = index;
  }

  /** How long to wait before the next start, given how the last worker went. */
  pauseAfter(worker: Worker): number {
    const { servingSince } = worker;
    const sound = servingSince !== undefined && performance.now() - servingSince >= STABLE_MS;
    this.failures = sound ? 0 : this.failures + 1;
    if (this.failures < 2) return 0;
    return Math.min(FIRST_PAUSE_MS * 2 ** (this.failures - 2), LONGEST_PAUSE_MS);
  }
}

export class Supervisor {
  private readonly settings: Settings;
  private readonly sockets: Sockets;
  private readonly slots: readonly Slot[];
  /** Places connections, where the workers do not accept themselves. */
  private readonly placing: Placing | undefined;
  /** Workers that are not gone. */
  private readonly all = new Set<Worker>();
  private readonly past: Totals = noTotals();
  private readonly reloading = new Mutex();
  private nextId = 0;
  private died = 0;
  private generation = 0;
  private stopping: Promise<void> | undefined;

  constructor(settings: Settings, sockets: Sockets) {
    this.settings = settings;
    this.sockets = sockets;
    this.slots = Array.from({ length: settings.workers }, (_, index) => new Slot(index));
    if (settings.placement !== undefined) this.placing = new Placing(settings, sockets.listeners);
  }

  /** Starts every worker; fails, with none running, when one of them does not begin. */
  async start(): Promise<void> {
    await this.replaceAll();
  }

  /** Replaces every worker; fails, with the old ones running on, when a new one does not begin. */
  async reload(): Promise<void> {
    const { model, workers } = this.settings;
    if (model === "base" && workers === 1) {
      throw new Error(
        'reload: the only worker of model "base" is this program itself; use "thread" or "process"',
      );
    }
    using _ = await this.reloading.lock();
    await this.replaceAll();
  }

  /** Lets every worker finish what it has, at most `timeout` ms; a second call may hasten it. */
  stop(timeout: number): Promise<void> {
    if (this.stopping !== undefined) {
      if (timeout === 0) for (const worker of this.all) void worker.drain(0);
      return this.stopping;
    }
    this.stopping = this.drainAll(timeout);
    return this.stopping;
  }

  async stats(): Promise<ServerStats> {
    // Before the wait: a worker that ends meanwhile is counted as one of these.
    const total = { ...this.past };
    const refused = this.placing?.refused ?? 0;
    for (const key of ["accepted", "refused", "closed"] as const) total[key] += refused;
    const workers = await Promise.all([...this.all].map((worker) => worker.stats()));
    workers.sort((a, b) => a.index - b.index || a.id - b.id);
    for (const each of workers) addTotals(total, each);
    const sum = (key: "live" | "goroutines" | "goroutinesPeak"): number =>
      workers.reduce((n: number, each: WorkerStats) => n + each[key], 0);
    const { died, generation } = this;
    const [live, goroutines, goroutinesPeak] = [
      sum("live"),
      sum("goroutines"),
      sum("goroutinesPeak"),
    ];
    return { ...total, live, goroutines, goroutinesPeak, workers, died, generation };
  }

  private async drainAll(timeout: number): Promise<void> {
    for (const slot of this.slots) clearTimeout(slot.timer);
    this.placing?.finish();
    await Promise.all([...this.all].map((worker) => worker.drain(timeout)));
  }

  private async replaceAll(): Promise<void> {
    const born = this.slots.map((slot) => this.spawn(slot));
    try {
      await Promise.all(born.map((worker) => worker.ready));
      if (this.stopping !== undefined) throw new Error("the server was stopped meanwhile");
    } catch (error) {
      for (const worker of born) {
        worker.asked = true;
        worker.kill();
      }
      await Promise.all(born.map((worker) => worker.ended));
      throw error;
    }
    this.generation++;
    const old = this.slots.map((slot) => this.install(slot, born[slot.index] as Worker));
    await Promise.all(old.map((worker) => worker?.left));
  }

  /** Gives a slot to a worker that serves; the one before it drains, and is returned. */
  private install(slot: Slot, next: Worker): Worker | undefined {
    clearTimeout(slot.timer);
    const old = slot.worker;
    slot.worker = next;
    if (next.state !== "ended") this.placing?.add(next.boot.id);
    // All that is on its way to the old one is there before it learns that it has to end.
    if (old !== undefined) this.placing?.leave(old.boot.id);
    if (old !== undefined) void old.drain(this.settings.drainTimeout);
    // It may have ended between its first word and now.
    if (next.state === "ended") this.onDied(slot, next);
    return old;
  }

  private spawn(slot: Slot): Worker {
    const { settings, sockets } = this;
    const { workers, maxConnections } = settings;
    // Exactly divided: together the workers never serve more.
    const extra = slot.index < maxConnections % workers ? 1 : 0;
    const id = this.nextId++;
    const boot = {
      model: settings.model,
      id,
      index: slot.index,
      workers,
      module: settings.module,
      data: settings.data,
      sockets: sockets.forWorker(slot.index),
      inbox: this.placing?.open(id, slot.index),
      maxConnections:
        maxConnections === Infinity ? Infinity : Math.floor(maxConnections / workers) + extra,
      heartbeat: settings.heartbeat,
      framing: settings.framing,
      maxRequests: settings.maxRequests,
      drainTimeout: settings.drainTimeout,
    };
    const worker = startWorker(boot, sockets.listeners);
    worker.onRecycle = () => void this.recycle(slot, worker);
    this.all.add(worker);
    void worker.ended.then((how) => this.onEnded(slot, worker, how));
    return worker;
  }

  private onEnded(slot: Slot, worker: Worker, how: string): void {
    this.all.delete(worker);
    this.placing?.ended(worker.boot.id);
    addTotals(this.past, worker.last);
    this.past.closed += worker.last.live;
    if (worker.asked) return;
    this.died++;
    this.settings.log(`${worker.name} ${how}`);
    if (slot.worker === worker) this.onDied(slot, worker);
  }

  private onDied(slot: Slot, worker: Worker): void {
    slot.worker = undefined;
    if (this.stopping !== undefined) return;
    const pause = slot.pauseAfter(worker);
    if (pause > 0) this.settings.log(`${worker.name} is replaced in ${pause} ms`);
    slot.timer = setTimeout(() => this.respawn(slot), pause);
  }

  private respawn(slot: Slot): void {
    if (this.stopping !== undefined || slot.worker !== undefined) return;
    const worker = this.spawn(slot);
    slot.worker = worker;
    if (this.placing !== undefined) void this.placeOn(slot, worker);
  }

  /** Lets connections be placed on a worker as soon as it serves. */
  private async placeOn(slot: Slot, worker: Worker): Promise<void> {
    try {
      await worker.ready;
    } catch {
      return; // It is reported when it has ended.
    }
    if (slot.worker === worker && this.stopping === undefined) this.placing?.add(worker.boot.id);
  }

  /** A worker has served its requests: another one takes its place. */
  private async recycle(slot: Slot, old: Worker): Promise<void> {
    if (this.settings.model === "base" && this.settings.workers === 1) return;
    using _ = await this.reloading.lock();
    if (slot.worker !== old || this.stopping !== undefined) return;
    const next = this.spawn(slot);
    try {
      await next.ready;
    } catch {
      // It was reported when it ended. The old one goes on, beyond its time.
      return;
    }
    if (this.stopping === undefined && (slot.worker === old || slot.worker === undefined)) {
      this.install(slot, next);
    } else void next.drain(this.settings.drainTimeout);
  }
}
