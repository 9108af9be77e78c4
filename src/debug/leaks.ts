/**
 * leaks.ts: what outlives a test: goroutines, conns, listeners, timers; with where they wait and where
 * they were started.
 *
 * What was there when the check began is not looked at, whatever becomes of it. What is left may take a
 * moment to wind down (a peer's goroutine that has still to see the end of its stream), so it is looked
 * at again for a while before it counts. Of a goroutine that said unref(), and of a conn or listener
 * that did, nobody expects an end: they do not count.
 */
import { type Goroutine, liveGoroutines } from "../runtime/goroutine.ts";
import { runtime } from "../runtime/runtime.ts";
import type { Timer } from "../runtime/timers.ts";
import { formatGoroutines, takeDump } from "./dump.ts";
import { endpointName } from "./objects.ts";
import { allWaits, type Opened, openEndpoints, watchGoroutines } from "./registry.ts";

const PATIENCE_MS = 5000;
const LONGEST_PAUSE_MS = 100;

/** Something that outlived a test. */
export interface Leak {
  /** "goroutine", "conn", "listener" or "timer". */
  readonly type: "goroutine" | "conn" | "listener" | "timer";
  /** A goroutine's function; a conn's or listener's addresses; a timer's class. */
  readonly name: string;
  /** Where go() was called, for a goroutine, where that is known. */
  readonly origin: string | undefined;
  /** All that is known of it. */
  readonly text: string;
}

export interface LeakOptions {
  /** How long, in ms, what is left may take to go; 5000 by default. */
  patience?: number;
  /** Leaks that are known: not reported when it says true. */
  ignore?: (leak: Leak) => boolean;
}

/** Something was left behind. `leaks` has it piece by piece. */
export class LeakError extends Error {
  override readonly name = "LeakError";
  readonly leaks: readonly Leak[];

  constructor(leaks: readonly Leak[]) {
    const list = leaks.map(({ text }) => text).join("\n\n");
    super(
      `${leaks.length} ${leaks.length === 1 ? "thing was" : "things were"} left behind\n\n${list}`,
    );
    this.leaks = leaks;
  }
}

/** A check that has begun. */
export interface LeakCheck extends AsyncDisposable {
  /** Ends the check: waits for what is winding down; rejects with LeakError when something stays. */
  done(): Promise<void>;
}

class Check implements LeakCheck {
  private readonly options: LeakOptions;
  private readonly unwatch = watchGoroutines();
  private readonly goroutines = new Set<object>(liveGoroutines());
  private readonly endpoints = new Set<object>(openEndpoints().map(({ endpoint }) => endpoint));
  private readonly timers = new Set<object>(runtime().timers.all());

  constructor(options: LeakOptions) {
    this.options = options;
  }

  async done(): Promise<void> {
    const { patience = PATIENCE_MS, ignore } = this.options;
    const giveUp = performance.now() + patience;
    try {
      for (let pause = 1; !this.isClean(); pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
        const over = performance.now() > giveUp;
        if (over || ignore !== undefined) {
          const leaks = (await this.leaks()).filter((leak) => ignore?.(leak) !== true);
          if (leaks.length === 0) return;
          if (over) throw new LeakError(leaks);
        }
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    } finally {
      this.unwatch();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.done();
  }

  private isClean(): boolean {
    return [this.leftGoroutines(), this.leftEndpoints(), this.leftTimers()].flat().length === 0;
  }

  private leftGoroutines(): Goroutine<unknown>[] {
    return liveGoroutines().filter((g) => g.referenced && !this.goroutines.has(g));
  }

  private leftEndpoints(): Opened[] {
    return openEndpoints().filter(({ endpoint }) => {
      if (this.endpoints.has(endpoint)) return false;
      return (endpoint as { fd?: { referenced: boolean } }).fd?.referenced !== false;
    });
  }

  /** Timers that a goroutine sleeps by are told with the goroutine, those of a conn with the conn. */
  private leftTimers(): Timer[] {
    const sleepers = new Set(allWaits().map(({ object }) => object));
    return runtime()
      .timers.all()
      .filter((timer) => {
        if (this.timers.has(timer) || sleepers.has(timer)) return false;
        const { select, deadlines, op } = timer as {
          select?: object;
          deadlines?: object;
          op?: object;
        };
        return select === undefined && deadlines === undefined && op === undefined;
      });
  }

  private async leaks(): Promise<Leak[]> {
    const left = new Set(this.leftGoroutines().map(({ id }) => id));
    const endpoints = this.leftEndpoints();
    const timers = this.leftTimers();
    const dump = await takeDump();
    const goroutines = dump.goroutines
      .filter(({ id }) => left.has(id))
      .map((g): Leak => {
        const alone = { ...dump, goroutines: [g], outside: [], graph: [] };
        const text = formatGoroutines(alone).trimEnd();
        return { type: "goroutine", name: g.name, origin: g.origin, text };
      });
    return [...goroutines, ...endpoints.map(endpointLeak), ...timers.map(timerLeak)];
  }
}

function endpointLeak({ endpoint, goroutine }: Opened): Leak {
  const type = "accept" in endpoint ? "listener" : "conn";
  const name = endpointName(endpoint) ?? endpoint.constructor.name;
  const by =
    goroutine === undefined ? "" : `, opened by goroutine ${goroutine.id} [${goroutine.name}]`;
  return { type, name, origin: undefined, text: `${type} ${name} is open${by}` };
}

function timerLeak(timer: Timer): Leak {
  const { name } = timer.constructor;
  const ms = Math.max(0, timer.when - runtime().clock.now());
  const due = ms === Infinity ? "never" : `in ${(ms / 1000).toFixed(1)} s`;
  return { type: "timer", name, origin: undefined, text: `timer (${name}) is armed, due ${due}` };
}

/**
 * Begins a leak check: goroutines, conns, listeners and timers that come after it and are still there at
 * its end fail it, each named with what it waits for, where, and where it was started. Not for tests that
 * run at the same time in one process.
 *
 * @example
 * import { Chan, go } from "coronet";
 * import { verifyNoLeaks } from "coronet/debug";
 * const check = verifyNoLeaks({ patience: 20 });
 * const results = new Chan<number>();
 * go(async function search() {
 *   await results.send(1);
 * });
 * await check.done().catch((error) => console.log(error.message.includes("[search]"))); // true
 * await results.receive();
 */
export function verifyNoLeaks(options: LeakOptions = {}): LeakCheck {
  return new Check(options);
}

/** What node:test, vitest and jest have in common. */
export interface TestHooks {
  beforeEach(fn: () => void): unknown;
  afterEach(fn: () => Promise<void>): unknown;
}

/**
 * Checks every test of a file, or of the describe() that it is called in: the hooks are those of
 * node:test, vitest or jest.
 *
 * @example
 * import { afterEach, beforeEach, test } from "node:test";
 * import { pipe } from "coronet";
 * import { verifyNoLeaksInEach } from "coronet/debug";
 *
 * verifyNoLeaksInEach({ beforeEach, afterEach });
 *
 * test("a pipe leaves nothing behind", async () => {
 *   const [a, b] = pipe();
 *   await a.close();
 *   await b.close();
 * });
 */
export function verifyNoLeaksInEach(hooks: TestHooks, options: LeakOptions = {}): void {
  let check: LeakCheck | undefined;
  hooks.beforeEach(() => {
    check = verifyNoLeaks(options);
  });
  hooks.afterEach(async () => {
    await check?.done();
  });
}
