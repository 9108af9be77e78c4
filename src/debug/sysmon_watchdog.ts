/**
 * sysmon_watchdog.ts: the thread that looks at what the others run (sysmon.ts has the layout).
 *
 * It is the only one that reports: a hold is reported once, when it has ended, with the stack that was
 * seen while it lasted; one that goes on is reported after a second as well, because it may never end.
 *
 * The stack of a thread that is busy can be had of the main thread alone: an inspector session of this
 * thread evaluates an expression there, which V8 does at the next loop or call, on top of the stack that
 * is running. Nothing is paused. Other threads offer no such door, so their reports have no stack.
 */
import { writeSync } from "node:fs";
import { Session } from "node:inspector";
import { BroadcastChannel, parentPort, workerData } from "node:worker_threads";
import {
  CURRENT_SEQ,
  HEADER,
  ID,
  KEY,
  type LongHold,
  SEQ,
  SLOT,
  START,
  type SysmonMessage,
  type SysmonShared,
  sharedClock,
  THREAD,
  USED,
} from "./sysmon_layout.ts";

const shared = workerData as SysmonShared;
const ints = new Int32Array(shared.memory);
const floats = new Float64Array(shared.memory);
const now = sharedClock();

/** A hold that goes on for so long is reported before its end. */
const ENDLESS_MS = 1000;
/** Lines in a burst; one more per second. */
const BURST = 5;

/** A hold that was seen while it lasted. */
interface Seen {
  seq: number;
  stack: string | undefined;
  /** Its stack has been asked for and has not come. */
  asked: boolean;
  /** It has ended while its stack was asked for. */
  ended: LongHold | undefined;
  /** It was reported while it went on. */
  printed: boolean;
}

const seen = new Map<number, Seen>();
const names = new Map<string, { name: string; origin: string | undefined }>();

// ---- lines on standard error

let allowance = BURST;
let refilledAt = now();
let suppressed = 0;

function mayPrint(): boolean {
  const time = now();
  allowance = Math.min(BURST, allowance + (time - refilledAt) / 1000);
  refilledAt = time;
  if (allowance < 1) {
    suppressed++;
    return false;
  }
  allowance--;
  return true;
}

function print(hold: LongHold, goesOn: boolean): void {
  if (!mayPrint()) return;
  const who =
    hold.goroutine === 0
      ? "code outside of goroutines"
      : `goroutine ${hold.goroutine} [${hold.name}]`;
  const held = goesOn ? "has been holding" : "held";
  const ms = Math.round(hold.milliseconds);
  const from = hold.goroutine === 0 ? "" : `, started at ${hold.origin ?? "a place not recorded"}`;
  const at =
    hold.stack === undefined ? "" : `, running ${hold.stack.split("\n").slice(0, 3).join(" < ")}`;
  const more = suppressed === 0 ? "" : ` (${suppressed} more were not printed)`;
  suppressed = 0;
  try {
    writeSync(
      2,
      `coronet sysmon: ${who} ${held} thread ${hold.thread} for ${ms} ms${from}${at}${more}\n`,
    );
  } catch {
    // Nobody reads standard error.
  }
}

// ---- the stack of the main thread

const session = new Session();
let connected = false;

/** Opens the door to the main thread; a Node that is built without an inspector has none. */
function connect(): void {
  try {
    session.connectToMainThread();
    connected = true;
  } catch {
    // Reports have no stack then.
  }
}

/** Frames of the program: the expression's own, Node's and empty lines are left out. */
function framesOf(stack: readonly string[]): string | undefined {
  const frames = stack
    .slice(1)
    .map((line) => line.trim().replace(/^at (async )?/, ""))
    .filter((line) => !/^<anonymous>:1:\d+$/.test(line) && !/\(?node:/.test(line));
  return frames.length === 0 ? undefined : frames.join("\n");
}

const EXPRESSION = `[globalThis[Symbol.for("${CURRENT_SEQ}")]?.(), new Error().stack].join("\\n")`;

/** Asks for the main thread's stack; it belongs to the hold only if that still lasts there. */
function askStack(entry: Seen): void {
  if (!connected) return;
  entry.asked = true;
  session.post("Runtime.evaluate", { expression: EXPRESSION, silent: true }, (error, answer) => {
    entry.asked = false;
    const text = error === null ? String(answer?.result.value) : "";
    const [seq, ...stack] = text.split("\n");
    if (Number(seq) === entry.seq) entry.stack = framesOf(stack);
    if (entry.ended !== undefined) finish(entry, entry.ended);
  });
}

// ---- looking

function look(): void {
  const used = ints[USED] as number;
  for (let slot = 0; slot < used; slot++) lookAt(slot, HEADER + slot * SLOT);
}

function lookAt(slot: number, base: number): void {
  const seq = ints[base + SEQ] as number;
  if ((seq & 1) === 0) return;
  const milliseconds = now() - (floats[(base + START) >> 1] as number);
  // It went on to another one in between: that one has just begun.
  if (ints[base + SEQ] !== seq || milliseconds < shared.threshold) return;
  const thread = (ints[base + THREAD] as number) - 1;
  let entry = seen.get(slot);
  if (entry?.seq !== seq) {
    entry = { seq, stack: undefined, asked: false, ended: undefined, printed: false };
    seen.set(slot, entry);
    if (thread === 0) askStack(entry);
  }
  if (milliseconds < ENDLESS_MS || entry.printed) return;
  entry.printed = true;
  const goroutine = ints[base + ID] as number;
  const known = names.get(`${thread} ${ints[base + KEY]}`);
  print(
    {
      thread,
      goroutine,
      name: known?.name ?? "",
      origin: known?.origin,
      milliseconds,
      stack: entry.stack,
    },
    true,
  );
}

function onMessage(message: SysmonMessage): void {
  if (message.kind === "name") {
    names.set(`${message.thread} ${message.key}`, message);
    return;
  }
  const { slot, seq, hold } = message;
  const entry = seen.get(slot);
  if (entry?.seq !== seq) report(hold);
  else {
    seen.delete(slot);
    if (entry.asked) entry.ended = hold;
    else finish(entry, hold);
  }
}

function finish(entry: Seen, hold: LongHold): void {
  hold.stack = entry.stack;
  report(hold);
}

function report(hold: LongHold): void {
  if (shared.quiet) parentPort?.postMessage(hold);
  else print(hold, false);
}

parentPort?.on("message", onMessage);
const channel = new BroadcastChannel(shared.channel);
channel.onmessage = (event) => onMessage((event as { data: SysmonMessage }).data);
connect();
parentPort?.postMessage("watching");
setInterval(look, Math.max(1, shared.threshold / 4));
