/**
 * dump.ts: what every goroutine of this thread is doing, as data and as text.
 */
import { threadId } from "node:worker_threads";
import { liveGoroutines } from "../runtime/goroutine.ts";
import { verdictOf, WaitGraph } from "./graph.ts";
import { describe } from "./objects.ts";
import { isWatching, knownOf, labelsOf, queuedGoroutines, type Wait } from "./registry.ts";
import { framesOf, stackOfWaiter } from "./stacks.ts";
import { currentGoroutine } from "./who.ts";

/** One thing that is waited for. */
export interface WaitDump {
  /** "read", "chan receive", "mutex lock", … */
  readonly kind: string;
  /** What it is: "tcp 127.0.0.1:80->127.0.0.1:4711", "chan #1 (2 of 8 inside)"; "" when it has no name. */
  readonly object: string;
  /** For how long, in ms. */
  readonly milliseconds: number;
  /** The program's frames, innermost first: "function (file:line:column)". */
  readonly stack: readonly string[];
  /** Why it will never end, as far as that can be known. */
  readonly verdict: string | undefined;
}

/** What one goroutine is doing. */
export interface GoroutineDump {
  readonly id: number;
  readonly name: string;
  /**
   * "running": it made the dump; "runnable": it stands in the run queue; "waiting": for `waits`, or for a
   * promise that is not Coronet's when there are none; "unknown": nobody watched when it began.
   */
  readonly state: "running" | "runnable" | "waiting" | "unknown";
  readonly waits: readonly WaitDump[];
  /** Where go() was called, where that is known. */
  readonly origin: string | undefined;
  /** Who called it; undefined when it was no goroutine, or is not known. */
  readonly parent: { readonly id: number; readonly name: string } | undefined;
  /** For how long it has lived, in ms; undefined when it was started before anybody watched. */
  readonly milliseconds: number | undefined;
  readonly labels: Readonly<Record<string, string>>;
}

/** What a thread's goroutines are doing. */
export interface Dump {
  readonly pid: number;
  readonly thread: number;
  /** Whether the registry is kept: without it only numbers, names and origins are known. */
  readonly watching: boolean;
  readonly goroutines: readonly GoroutineDump[];
  /** What is waited for by nobody known: the top level, callbacks, what began before the registry. */
  readonly outside: readonly WaitDump[];
  /** Who waits for whom. */
  readonly graph: readonly string[];
}

export interface DumpOptions {
  /** Of how many waits the stack is taken; 10,000 by default. A stack costs some microseconds. */
  stacks?: number;
}

const STACKS = 10_000;

async function dumpWait(wait: Wait, budget: { stacks: number }): Promise<WaitDump> {
  const { kind, object, waiter, since } = wait;
  // Before the first await: what the wait says of itself is true now.
  const words = { object: describe(object), verdict: verdictOf(wait) };
  const milliseconds = performance.now() - since;
  const stack = budget.stacks-- > 0 ? framesOf(await stackOfWaiter(waiter)) : [];
  return { kind, milliseconds, stack, ...words };
}

/** What every goroutine of this thread is doing, as data. */
export async function takeDump(options: DumpOptions = {}): Promise<Dump> {
  const watching = isWatching();
  const current = currentGoroutine();
  const queued = queuedGoroutines();
  const wholeGraph = new WaitGraph();
  const { waits } = wholeGraph;
  const budget = { stacks: options.stacks ?? STACKS };
  const now = performance.now();
  const graph = wholeGraph.drawing();
  const goroutines = liveGoroutines().map(async (g): Promise<GoroutineDump> => {
    const known = knownOf(g);
    const own = waits.get(g) ?? [];
    const state =
      g === current
        ? "running"
        : queued.has(g)
          ? "runnable"
          : own.length > 0 || known !== undefined
            ? "waiting"
            : "unknown";
    return {
      id: g.id,
      name: g.name,
      state,
      origin: known?.origin ?? g.origin,
      parent: known?.parent,
      milliseconds: known === undefined ? undefined : now - known.since,
      labels: labelsOf(g),
      waits: await Promise.all(own.map((wait) => dumpWait(wait, budget))),
    };
  });
  const outside = (waits.get(undefined) ?? []).map((wait) => dumpWait(wait, budget));
  return {
    pid: process.pid,
    thread: threadId,
    watching,
    graph,
    goroutines: await Promise.all(goroutines),
    outside: await Promise.all(outside),
  };
}

// ---- as text

/** "2.5 s", "3 min" */
function lasting(ms: number): string {
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h`;
}

function waitLines({ kind, object, milliseconds, stack, verdict }: WaitDump): string[] {
  const on = object === "" ? "" : ` on ${object}`;
  return [
    `waits for ${kind} since ${lasting(milliseconds)}${on}`,
    ...(stack.length === 0 ? ["  at unknown"] : stack.map((frame) => `  at ${frame}`)),
    ...(verdict === undefined ? [] : [`  ${verdict}`]),
  ];
}

const NOT_RECORDED = "a place not recorded (CORONET_TRACEBACK=all records every one)";
const ELSEWHERE = "waits for a promise that is none of Coronet's operations";

function bodyOf(g: GoroutineDump): string[] {
  const { state, waits, origin, parent } = g;
  const lines = waits.flatMap(waitLines);
  if (state === "running" || state === "runnable") lines.unshift(`is ${state}`);
  else if (state === "waiting" && waits.length === 0) lines.push(ELSEWHERE);
  const labels = Object.entries(g.labels).map(([name, value]) => `${name}=${value}`);
  if (labels.length > 0) lines.push(`labels ${labels.join(" ")}`);
  const by = parent === undefined ? "" : ` by goroutine ${parent.id} [${parent.name}]`;
  return [...lines, `started at ${origin ?? NOT_RECORDED}${by}`];
}

/** What must be alike for goroutines to stand together: all but numbers of things and times. */
function keyOf(g: GoroutineDump): string {
  const waits = g.waits.map(({ kind, stack, verdict }) => [kind, stack, verdict !== undefined]);
  return JSON.stringify([g.name, g.state, waits, g.origin, g.parent?.name, g.labels]);
}

/** Goroutines of one name that do the same at the same place; the largest group first. */
function groupsOf(goroutines: readonly GoroutineDump[]): GoroutineDump[][] {
  const groups = new Map<string, GoroutineDump[]>();
  for (const g of goroutines) {
    const key = keyOf(g);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [g]);
    else group.push(g);
  }
  return [...groups.values()].sort((a, b) => b.length - a.length);
}

/** From so many on, those that are alike are told once. */
const MANY = 4;
/** Numbers that are told of a group. */
const TOLD = 8;

function groupText(group: readonly GoroutineDump[]): string {
  const [first] = group as readonly [GoroutineDump];
  if (group.length < MANY) return group.map(oneText).join("\n");
  const ids = group.slice(0, TOLD).map(({ id }) => id);
  const more = group.length > TOLD ? ", …" : "";
  const title = `${group.length} goroutines [${first.name}]: ${ids.join(", ")}${more}; the first of them`;
  return `${title}\n${bodyOf(first).join("\n")}\n`;
}

function oneText(g: GoroutineDump): string {
  return `goroutine ${g.id} [${g.name}]\n${bodyOf(g).join("\n")}\n`;
}

export interface FormatOptions {
  /** Goroutines that are alike stand together (the default), or each by itself. */
  group?: boolean;
  /** So many blocks at most; the others are counted. */
  most?: number;
}

/** The goroutines of a dump as text, without its title. */
export function formatGoroutines(dump: Dump, options: FormatOptions = {}): string {
  const { group = true, most = Infinity } = options;
  const groups = group ? groupsOf(dump.goroutines) : dump.goroutines.map((g) => [g]);
  const shown = groups.slice(0, most);
  const parts = shown.map(groupText);
  if (dump.outside.length > 0) {
    parts.unshift(`outside of goroutines\n${dump.outside.flatMap(waitLines).join("\n")}\n`);
  }
  const left = groups.slice(most).flat().length;
  if (left > 0) parts.push(`and ${left} more goroutines\n`);
  if (dump.graph.length > 0) {
    parts.push(
      `who waits for whom\n${dump.graph
        .slice(0, 50)
        .map((line) => `  ${line}\n`)
        .join("")}`,
    );
  }
  return parts.join("\n");
}

/** A dump as text. */
export function formatDump(dump: Dump, options: FormatOptions = {}): string {
  const { pid, thread, goroutines, watching } = dump;
  const count = goroutines.length === 1 ? "1 goroutine" : `${goroutines.length} goroutines`;
  const title = `${count} of process ${pid}, thread ${thread}\n`;
  const hint = watching
    ? ""
    : "\nwhat each of them waits for is not known: node --import coronet/debug, or CORONET_DEBUG=1\n";
  return `${title}\n${formatGoroutines(dump, options)}${hint}`;
}
