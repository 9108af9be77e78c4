/**
 * trace.ts: the flight recorder's switch, what the runtime tells it, and tasks, regions and log lines of
 * the program (Go: runtime/trace).
 *
 * While it is off a task or a region costs a call, and the runtime nothing.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { writeFileSync } from "node:fs";
import { PerformanceObserver } from "node:perf_hooks";
import { isMainThread, threadId } from "node:worker_threads";
import { type Goroutine, liveGoroutines } from "../../runtime/goroutine.ts";
import { attach, type Tool } from "../observers.ts";
import { currentGoroutine, trackGoroutines } from "../who.ts";
import { chromeEvents } from "./chrome.ts";
import * as kind from "./recorder.ts";
import { Names, Recorder } from "./recorder.ts";

export interface TraceOptions {
  /** How many of the last events are kept: 131,072 by default, which take 4 MB. */
  events?: number;
  /** Written when the process ends with a status other than 0: a panic, a deadlock, an exception. */
  file?: string;
  /** With `file`: written when this signal comes, too. */
  signal?: NodeJS.Signals;
}

const EVENTS = 131_072;
/** Marks waiters with who waits and the wait's number. */
const MARK: unique symbol = Symbol("coronet.trace");

interface Mark {
  g: number;
  number: number;
}

type Marked = object & { [MARK]?: Mark | undefined };

const now = performance.now.bind(performance);

function idOf(g: Goroutine<unknown> | undefined): number {
  return g === undefined ? 0 : g.id;
}

/** The recorder while it is on. */
class Recording {
  readonly recorder: Recorder;
  readonly names = new Names();
  readonly tasks = new AsyncLocalStorage<number>();
  private readonly undo: (() => void)[] = [];
  private waits = 0;
  private ids = 0;

  constructor({ events = EVENTS, file, signal }: TraceOptions) {
    if (!Number.isSafeInteger(events) || events < 16 || events > 2 ** 26) {
      throw new RangeError(`trace: a whole number of events from 16 to 2^26, not ${events}`);
    }
    this.recorder = new Recorder(events);
    this.undo.push(trackGoroutines(), attach(this.tool()), this.watchCollector());
    if (file !== undefined) this.writeTo(file, signal);
  }

  stop(): void {
    for (const each of this.undo.splice(0)) each();
  }

  nextId(): number {
    return ++this.ids;
  }

  note(type: number, a: number, b: number): void {
    this.recorder.add(now(), type, idOf(currentGoroutine()), a, b);
  }

  noteText(type: number, a: number, b: number, text: string): void {
    this.recorder.addText(now(), type, idOf(currentGoroutine()), a, b, text);
  }

  private tool(): Tool {
    const { recorder, names } = this;
    return {
      started: (g) => this.note(kind.STARTED, g.id, names.of(g.name)),
      running: (g) => recorder.add(now(), kind.RAN, g.id, 0, 0),
      ended: (g, error) => recorder.add(now(), kind.ENDED, g.id, error === undefined ? 0 : 1, 0),
      parked: (waiter: Marked, what) => {
        const g = idOf(currentGoroutine());
        // Waits of code outside of goroutines have no track.
        if (g === 0) return;
        this.waits = (this.waits + 1) | 0;
        waiter[MARK] = { g, number: this.waits };
        recorder.add(now(), kind.PARKED, g, names.of(what), this.waits);
      },
      resumed: (waiter: Marked) => {
        const mark = waiter[MARK];
        if (mark === undefined) return;
        waiter[MARK] = undefined;
        this.note(kind.RESUMED, mark.g, mark.number);
      },
      queued: (_waiter, own) => {
        if (own) this.note(kind.QUEUED, 0, 0);
      },
      exhausted: () => this.note(kind.EXHAUSTED, 0, 0),
      moved: (_conn, direction, bytes) =>
        this.note(kind.MOVED, bytes, direction === "read" ? 0 : 1),
      turn: (from, woken) => recorder.add(now(), kind.TURN, 0, woken, from === "poll" ? 0 : 1),
      fired: (_timer, late) => recorder.add(now(), kind.FIRED, 0, Math.round(late * 1000), 0),
      opened: (endpoint) => this.note(kind.OPENED, names.of(classOf(endpoint)), 0),
      transferred: (_conn, direction) =>
        this.note(kind.TRANSFERRED, 0, direction === "out" ? 0 : 1),
      closed: (endpoint) => this.note(kind.CLOSED, names.of(classOf(endpoint)), 0),
    };
  }

  private watchCollector(): () => void {
    const watcher = new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        const { detail } = entry as { detail?: { kind?: number } };
        // Not longer than it was: it would reach into the next one.
        const micros = Math.floor(entry.duration * 1000);
        this.recorder.add(entry.startTime, kind.COLLECTED, 0, micros, detail?.kind ?? 0);
      }
    });
    watcher.observe({ entryTypes: ["gc"] });
    return () => watcher.disconnect();
  }

  private writeTo(file: string, signal: NodeJS.Signals | undefined): void {
    const write = (): void => writeFileSync(file, this.json());
    const onExit = (status: number): void => {
      if (status !== 0) write();
    };
    process.on("exit", onExit);
    this.undo.push(() => process.off("exit", onExit));
    if (signal === undefined || !isMainThread) return;
    process.on(signal, write);
    this.undo.push(() => process.off(signal, write));
  }

  json(): string {
    const { recorder, names } = this;
    const { pid } = process;
    const traceEvents = chromeEvents({
      events: recorder.events(),
      names,
      live: liveGoroutines().map(({ id, name }) => ({ id, name })),
      now: now(),
      // Threads have goroutines of the same numbers: each is a process of its own in the picture.
      pid: isMainThread ? pid : pid * 1000 + threadId,
      process: isMainThread ? `process ${pid}` : `process ${pid}, thread ${threadId}`,
    });
    const otherData = { recorded: recorder.recorded, lost: recorder.lost, node: process.version };
    // Line by line: a trace is long, and one may want to look at it.
    const lines = traceEvents.map((event) => JSON.stringify(event)).join(",\n");
    const rest = `"displayTimeUnit":"ms","otherData":${JSON.stringify(otherData)}`;
    return `{"traceEvents":[\n${lines}\n],${rest}}\n`;
  }
}

function classOf(endpoint: object): string {
  return endpoint.constructor?.name ?? "object";
}

let on: Recording | undefined;

/** Whether it records. */
export function isTracing(): boolean {
  return on !== undefined;
}

function stop(): void {
  on?.stop();
  on = undefined;
}

/**
 * Begins to record this thread's last events, and goes on until trace.stop(). Throws when it records
 * already.
 */
function start(options: TraceOptions = {}): Disposable {
  if (on !== undefined) throw new Error("trace: it is recording already");
  on = new Recording(options);
  return { [Symbol.dispose]: stop };
}

/** What was recorded, as text for Perfetto (https://ui.perfetto.dev) or chrome://tracing. */
function snapshot(): string {
  if (on === undefined) throw new Error("trace: nothing is recorded: call trace.start() first");
  return on.json();
}

/**
 * Calls `fn` as a task: a piece of work that may span goroutines; regions and log lines of those that it
 * starts belong to it. It ends when what `fn` gives has settled. In Go: trace.NewTask.
 */
function task<R>(name: string, fn: () => R): R {
  const recording = on;
  if (recording === undefined) return fn();
  const id = recording.nextId();
  return recording.tasks.run(id, () =>
    around(
      fn,
      () => recording.noteText(kind.TASK_BEGIN, id, 0, name),
      () => recording.noteText(kind.TASK_END, id, 0, name),
    ),
  );
}

/** Calls `fn` as a region: a part of what this goroutine does. In Go: trace.WithRegion. */
function region<R>(name: string, fn: () => R): R {
  const recording = on;
  if (recording === undefined) return fn();
  const id = recording.nextId();
  const of = recording.tasks.getStore() ?? 0;
  return around(
    fn,
    () => recording.noteText(kind.REGION_BEGIN, of, id, name),
    () => recording.noteText(kind.REGION_END, of, id, name),
  );
}

/** Calls `fn` between two events; what it gives is waited for. */
function around<R>(fn: () => R, begin: () => void, end: () => void): R {
  begin();
  let result: R;
  try {
    result = fn();
  } catch (error) {
    end();
    throw error;
  }
  if (result instanceof Promise) result.then(end, end);
  else end();
  return result;
}

/** Notes a line of text. In Go: trace.Log. */
function log(text: string): void {
  on?.noteText(kind.LOGGED, on.tasks.getStore() ?? 0, 0, text);
}

/**
 * The flight recorder: the last events of this thread (goroutines, waits and who ended them, bytes,
 * turns of the poller, timers, the collector), and tasks, regions and lines of the program's own.
 *
 * @example
 * import { Chan, go } from "coronet";
 * import { trace } from "coronet/debug";
 * using _ = trace.start();
 * const ch = new Chan<number>();
 * await trace.task("sum", async () => {
 *   go(() => trace.region("send", () => ch.send(7)));
 *   trace.log(`got ${(await ch.receive())[0]}`);
 * });
 * const { traceEvents } = JSON.parse(trace.snapshot());
 * console.log(traceEvents.some((e: { name: string }) => e.name === "got 7")); // true
 */
export const trace = { start, stop, snapshot, task, region, log };

/** For `coronet trace`: what was recorded, or will be in so many milliseconds. */
export async function answerTrace(argument: unknown): Promise<string> {
  const { milliseconds } = (argument ?? {}) as { milliseconds?: number };
  if (milliseconds === undefined) return snapshot();
  const own = on === undefined ? start() : undefined;
  try {
    // Not Coronet's sleep: what looks must not be seen in what it looks at.
    await new Promise((resolve) => setTimeout(resolve, milliseconds).unref());
    return snapshot();
  } finally {
    own?.[Symbol.dispose]();
  }
}
