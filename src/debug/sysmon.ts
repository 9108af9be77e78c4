/**
 * sysmon.ts: finds goroutines that keep their thread to themselves.
 *
 * JavaScript has no preemption: a goroutine that computes for 50 ms makes every other one of its thread
 * wait for 50 ms, and nothing says who it was. While sysmon is on, V8's promise hooks stamp in shared
 * memory which goroutine goes on and since when, and take the stamp away when it awaits or ends. One
 * watchdog thread per process (sysmon_watchdog.ts) looks at the stamps every few ms; it sees a goroutine
 * while it still runs, also one that never stops.
 *
 * What is seen: code of goroutines, on every thread that was started after sysmon and uses Coronet. What
 * is not: callbacks of timers and of Node's own I/O, which are no goroutines. While it is off nothing is
 * paid; while it is on, every promise costs two calls.
 */
import { promiseHooks } from "node:v8";
import {
  BroadcastChannel,
  getEnvironmentData,
  setEnvironmentData,
  threadId,
  Worker,
} from "node:worker_threads";
import type { Goroutine } from "../runtime/goroutine.ts";
import { runtime } from "../runtime/runtime.ts";
import { attach } from "./observers.ts";
import {
  CURRENT_SEQ,
  HEADER,
  ID,
  KEY,
  type LongHold,
  SEQ,
  SLOT,
  SLOTS,
  START,
  type SysmonMessage,
  type SysmonShared,
  sharedClock,
  THREAD,
  TOTAL,
  USED,
} from "./sysmon_layout.ts";

export type { LongHold } from "./sysmon_layout.ts";

const ENVIRONMENT_KEY = "coronet.sysmon";
const DEFAULT_THRESHOLD_MS = 10;

export interface SysmonOptions {
  /** The longest time, in ms, that is not reported; 10 by default. */
  threshold?: number;
  /** Takes the reports; by default one line for each is printed on standard error, at most one a second. */
  onLongHold?: (hold: LongHold) => void;
}

/** A goroutine, as its stamps name it. */
interface Holder {
  id: number;
  key: number;
  goroutine: Goroutine<unknown>;
}

const OWNER: unique symbol = Symbol("coronet.sysmon.owner");
const global = globalThis as { [name: symbol]: unknown };
type Owned = Promise<unknown> & { [OWNER]?: Holder };

/** One thread that stamps what it runs. */
class Watched {
  private readonly ints: Int32Array;
  private readonly floats: Float64Array;
  private readonly base: number;
  private readonly slot: number;
  private readonly threshold: number;
  /** To the watchdog. */
  private readonly tell: (message: SysmonMessage) => void;
  private readonly now = sharedClock();
  private readonly keys = new Map<string, number>();
  private readonly detach: () => void;
  private readonly unhook: (() => void) & object;
  private current: Holder | undefined;
  private since = 0;

  constructor(shared: SysmonShared, slot: number, tell: (message: SysmonMessage) => void) {
    this.ints = new Int32Array(shared.memory);
    this.floats = new Float64Array(shared.memory);
    this.slot = slot;
    this.base = HEADER + slot * SLOT;
    this.threshold = shared.threshold;
    this.tell = tell;
    this.detach = attach({ running: this.running });
    this.unhook = promiseHooks.createHook({
      init: (promise: Owned) => {
        if (this.current !== undefined) promise[OWNER] = this.current;
      },
      before: (promise: Owned) => this.begin(promise[OWNER]),
      after: () => this.end(),
    }) as () => void;
    process.on("exit", this.stop);
    if (threadId === 0) global[Symbol.for(CURRENT_SEQ)] = () => this.ints[this.base + SEQ];
  }

  /** The goroutine is about to call its function, inside a job of whoever started it. */
  private readonly running = (g: Goroutine<unknown>): void => {
    this.end();
    this.begin({ id: g.id, key: this.keyOf(g), goroutine: g });
  };

  /** Names are sent once, ahead of the hold: later the thread may be too busy to say anything. */
  private keyOf(g: Goroutine<unknown>): number {
    const { name, origin } = g;
    const both = `${name}\n${origin}`;
    let key = this.keys.get(both);
    if (key !== undefined) return key;
    key = this.keys.size + 1;
    this.keys.set(both, key);
    this.tell({ kind: "name", thread: threadId, key, name, origin });
    return key;
  }

  private begin(holder: Holder | undefined): void {
    const { ints, base } = this;
    this.current = holder;
    this.since = this.now();
    ints[base + ID] = holder === undefined ? 0 : holder.id;
    ints[base + KEY] = holder === undefined ? 0 : holder.key;
    this.floats[(base + START) >> 1] = this.since;
    ints[base + SEQ] = ((ints[base + SEQ] as number) + 1) | 1;
  }

  private end(): void {
    const { ints, base } = this;
    const seq = ints[base + SEQ] as number;
    if ((seq & 1) === 0) return;
    ints[base + SEQ] = seq + 1;
    const milliseconds = this.now() - this.since;
    const holder = this.current;
    this.current = undefined;
    if (milliseconds >= this.threshold) this.report(holder, seq, milliseconds);
  }

  private report(holder: Holder | undefined, seq: number, milliseconds: number): void {
    runtime().longHolds++;
    Atomics.add(this.ints, TOTAL, 1);
    const hold: LongHold = {
      thread: threadId,
      goroutine: holder?.id ?? 0,
      name: holder?.goroutine.name ?? "",
      origin: holder?.goroutine.origin,
      milliseconds,
      stack: undefined,
    };
    this.tell({ kind: "ended", slot: this.slot, seq, hold });
  }

  readonly stop = (): void => {
    process.off("exit", this.stop);
    this.unhook();
    delete global[Symbol.for(CURRENT_SEQ)];
    this.detach();
    this.ints[this.base + SEQ] = 0;
    Atomics.store(this.ints, this.base + THREAD, 0);
  };
}

let watched: Watched | undefined;
/** This thread has started the watchdog. */
let running = false;

/** Takes a slot for this thread and begins to stamp. Does nothing when every slot is taken. */
function join(shared: SysmonShared, tell: (message: SysmonMessage) => void): void {
  const ints = new Int32Array(shared.memory);
  for (let slot = 0; slot < SLOTS; slot++) {
    const at = HEADER + slot * SLOT + THREAD;
    if (Atomics.compareExchange(ints, at, 0, threadId + 1) !== 0) continue;
    for (let used = ints[USED] as number; used <= slot; used = ints[USED] as number) {
      Atomics.compareExchange(ints, USED, used, slot + 1);
    }
    watched = new Watched(shared, slot, tell);
    return;
  }
}

/** A running watchdog. */
export interface Sysmon extends AsyncDisposable {
  /** Holds that were too long, of all threads, so far; `stats().longHolds` has this thread's. */
  readonly longHolds: number;
  /** Ends the watchdog and the stamping on this thread. */
  stop(): Promise<void>;
}

/**
 * Starts the watchdog: every goroutine that runs for longer than `threshold` ms without an await is
 * reported with its number, its name, where it was started and, on the main thread, the stack that it
 * was running. Threads that are started later are watched too. Resolves when it watches; fails when it
 * runs already.
 *
 * It is for finding the place; it costs a few hundred ns per await while it is on, nothing while it is off.
 *
 * @example
 * import { go, sleep, startSysmon } from "coronet";
 * let name = "";
 * await using _ = await startSysmon({ threshold: 20, onLongHold: (hold) => (name ||= hold.name) });
 * go(async function hog() {
 *   for (const end = Date.now() + 100; Date.now() < end; );
 * });
 * while (name === "") await sleep(5);
 * console.log(name); // hog
 */
export async function startSysmon(options: SysmonOptions = {}): Promise<Sysmon> {
  const { threshold = DEFAULT_THRESHOLD_MS, onLongHold } = options;
  if (!(threshold >= 1)) {
    throw new RangeError(`startSysmon: threshold takes ms from 1 on, got ${threshold}`);
  }
  if (running) throw new Error("startSysmon: it runs already");
  running = true;
  const shared: SysmonShared = {
    memory: new SharedArrayBuffer((HEADER + SLOT * SLOTS) * 4),
    channel: `coronet.sysmon.${process.pid}.${threadId}.${Number(process.hrtime.bigint())}`,
    threshold,
    quiet: onLongHold !== undefined,
  };
  const watchdog = new Worker(new URL("./sysmon_watchdog.js", import.meta.url), {
    workerData: shared,
    name: "coronet sysmon",
  });
  await new Promise<void>((resolve, reject) => {
    watchdog.once("error", (error) => {
      running = false;
      reject(error);
    });
    watchdog.once("message", () => resolve());
  });
  if (onLongHold !== undefined) watchdog.on("message", onLongHold);
  watchdog.unref();
  setEnvironmentData(ENVIRONMENT_KEY, shared);
  // Straight to it: what is said before it has begun waits for it.
  join(shared, (message) => watchdog.postMessage(message));
  const ints = new Int32Array(shared.memory);
  const stop = async (): Promise<void> => {
    if (getEnvironmentData(ENVIRONMENT_KEY) === shared)
      setEnvironmentData(ENVIRONMENT_KEY, undefined);
    watched?.stop();
    watched = undefined;
    running = false;
    await watchdog.terminate();
  };
  return {
    get longHolds() {
      return ints[TOTAL] as number;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

const inherited = getEnvironmentData(ENVIRONMENT_KEY) as SysmonShared | undefined;
if (inherited !== undefined && threadId !== 0) {
  const channel = new BroadcastChannel(inherited.channel);
  channel.unref();
  join(inherited, (message) => channel.postMessage(message));
}
