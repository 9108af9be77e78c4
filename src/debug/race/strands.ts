/**
 * strands.ts: who is running, and what it knows of others.
 *
 * A plain promise orders too: what its settler did before happened before what those do who awaited it.
 * That is JavaScript's own way of waiting, and without it correct programs would be reported. A promise
 * that was settled in the step that made it says nothing: nobody waited for it, and the library keeps
 * such promises to use them again. Nor does the promise of a wait for a channel, a lock or a group: what
 * orders there is told exactly (edges.ts), and the moment of the wake-up would order more.
 */
import { promiseHooks } from "node:v8";
import type { Goroutine } from "../../runtime/goroutine.ts";
import { attach } from "../observers.ts";
import { currentGoroutine, trackGoroutines } from "../who.ts";
import { type Release, Strand } from "./clocks.ts";
import { acquired, released } from "./edges.ts";
import { currentStep, endStep } from "./steps.ts";

const outside = new Strand(undefined);
const strands = new WeakMap<Goroutine<unknown>, Strand>();
/** Who waits, by its waiter. */
const waiting = new WeakMap<object, Strand>();

function strandOf(g: Goroutine<unknown> | undefined): Strand {
  if (g === undefined) return outside;
  let strand = strands.get(g);
  if (strand === undefined) {
    strand = new Strand(g);
    strands.set(g, strand);
  }
  return strand;
}

/**
 * The poller or a timer runs, not the program: what they do orders nothing, and what they wake was not
 * waiting for anybody's doing. But what a timer does comes after whoever set it.
 */
let hosting = false;
/** The timer that fires. */
let firing: Strand | undefined;
const armedBy = new WeakMap<object, Release>();

function endHosting(): void {
  hosting = false;
  firing = undefined;
}

function beginHosting(): void {
  hosting = true;
  firing = undefined;
  queueMicrotask(endHosting);
}

function beginFiring(timer: object): void {
  beginHosting();
  firing = new Strand(undefined);
  const release = armedBy.get(timer);
  if (release !== undefined) firing.acquire(release);
}

/** The strand that runs; when it is the runtime itself, one that knows who set the timer, or nothing. */
export function currentStrand(): Strand {
  if (!hosting) return strandOf(currentGoroutine());
  return firing ?? new Strand(undefined);
}

// ---- promises

/** In which step a promise was made, or OF_A_WAIT. */
const madeIn = new WeakMap<Promise<unknown>, number>();
const OF_A_WAIT = -1;
/** The promise that was made last: that of a wait, when the wait is announced. */
let latest: Promise<unknown> | undefined;
/** Waits of which every edge is told. */
const TOLD =
  /^(chan|select|mutex|rwmutex|waitgroup|cond|semaphore|errgroup|once|singleflight|join|atomic)/;
/** What the settler of a promise knew. */
const settledBy = new WeakMap<Promise<unknown>, Release>();
/** Whose result a reaction waits for. */
const awaitedBy = new WeakMap<Promise<unknown>, Promise<unknown>>();

/**
 * Reactions that make the error with which the runtime ends a wait (failParked in runtime/park.ts), each
 * with the timer's strand, if it was one: whoever runs them has nothing to say to the one that waits.
 */
const failures = new WeakMap<Promise<unknown>, Strand | undefined>();
/** The reaction that runs. */
let reaction: Promise<unknown> | undefined;

function onInit(promise: Promise<unknown>, parent: Promise<unknown> | undefined): void {
  if (parent === undefined) {
    madeIn.set(promise, currentStep());
    latest = promise;
    return;
  }
  awaitedBy.set(promise, parent);
  if (hosting && parent === latest) failures.set(promise, firing);
  // The wait's own promise takes the error over from that one.
  else if (failures.has(parent)) failures.set(promise, failures.get(parent));
}

function onSettled(promise: Promise<unknown>): void {
  const made = madeIn.get(promise);
  if (made === currentStep() || made === OF_A_WAIT) return;
  if (reaction !== undefined && failures.has(reaction)) {
    const release = failures.get(reaction)?.release();
    if (release !== undefined) settledBy.set(promise, release);
    return;
  }
  if (hosting && firing === undefined) return;
  settledBy.set(promise, currentStrand().release());
}

function onAfter(): void {
  endStep();
  reaction = undefined;
}

function onBefore(promise: Promise<unknown>): void {
  endStep();
  endHosting();
  reaction = promise;
  if (failures.has(promise)) return;
  const awaited = awaitedBy.get(promise);
  const release = awaited === undefined ? undefined : settledBy.get(awaited);
  if (release !== undefined) currentStrand().acquire(release);
}

// ---- reading and writing on connections

const io = {};
const READS = new Set(["read", "accept", "receive", "wait"]);
const kinds = new WeakMap<object, string>();

// ---- what the runtime says

/** The strand that an event is about: of the one that waits, or else of the one that runs. */
function about(waiter: object | undefined): Strand | undefined {
  return waiter === undefined ? currentStrand() : waiting.get(waiter);
}

/** Begins to follow goroutines. Returns what ends it. */
export function followStrands(): () => void {
  const untrack = trackGoroutines();
  const detach = attach({
    started(g) {
      const strand = strandOf(g);
      waiting.set(g, strand);
      strand.acquire(currentStrand().release());
    },
    ended(g) {
      const strand = strandOf(g);
      released(g, "end", strand);
      strand.ended = true;
    },
    turn: beginHosting,
    armed(timer) {
      armedBy.set(timer, currentStrand().release());
    },
    fired: beginFiring,
    parked(waiter, kind) {
      const strand = currentStrand();
      waiting.set(waiter, strand);
      if (latest !== undefined && TOLD.test(kind)) madeIn.set(latest, OF_A_WAIT);
      if (READS.has(kind)) kinds.set(waiter, kind);
      else if (kind === "write") released(io, "shared", strand);
    },
    resumed(waiter) {
      const strand = waiting.get(waiter);
      if (strand !== undefined && kinds.has(waiter)) acquired(io, "shared", strand);
    },
    moved(_conn, direction) {
      if (direction === "write") released(io, "shared", currentStrand());
      else acquired(io, "shared", currentStrand());
    },
    released(object, tag, waiter, _units, key) {
      const strand = about(waiter);
      if (strand !== undefined) released(object, tag, strand, key);
    },
    acquired(object, tag, waiter, _units, key) {
      const strand = about(waiter);
      if (strand !== undefined) acquired(object, tag, strand, key);
    },
  });
  const unhook = promiseHooks.createHook({
    init: onInit as never,
    before: onBefore as never,
    after: onAfter as never,
    settled: onSettled as never,
  }) as () => void;
  return () => {
    unhook();
    detach();
    untrack();
  };
}
