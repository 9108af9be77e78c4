/**
 * chan_model.test.ts: channels and select against a model, with random programs.
 *
 * A program is a list of steps: start an operation, try one, close a channel, cancel a wait. After each
 * step the real channels and the model must agree: on what has settled and how, and on the length of
 * every channel. Where a select may choose, the model follows its choice, which has to be a ready case.
 *
 * CORONET_SEED repeats a run; CORONET_MODEL_STEPS makes it longer.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Chan, recv, type SelectCases, select, send, trySelect } from "../src/index.ts";
import { runtime } from "../src/runtime/runtime.ts";
import { seeded, turn } from "../testing/support.ts";
import {
  CANCELED,
  CLOSED,
  caseIn,
  Model,
  type ModelCase,
  type ModelOp,
  type Outcome,
  receivedBy,
  sentBy,
  WAITS,
} from "./chan_model.ts";

const STEPS = Number(process.env.CORONET_MODEL_STEPS ?? 100_000);
const STEPS_PER_PROGRAM = 100;

type Step =
  /** An operation of one case, by itself or as a select, or a select of several. */
  | { kind: "one" | "select" | "try" | "trySelect"; cases: ModelCase[] }
  | { kind: "iterate"; chan: number }
  | { kind: "close"; chan: number }
  | { kind: "cancel"; pick: number };

/** An operation on the real channels. */
class Running {
  readonly model: ModelOp;
  /** Undefined when the operation takes no signal. */
  stop: AbortController | undefined = new AbortController();
  outcome: Outcome = WAITS;

  constructor(cases: readonly ModelCase[]) {
    this.model = { cases, outcome: WAITS };
  }

  watch<T>(result: Promise<T>, describe: (value: T) => Outcome): void {
    const settle = (outcome: Outcome): void => {
      assert.equal(this.outcome, WAITS, "it settles once");
      this.outcome = outcome;
    };
    result.then(
      (value) => settle(describe(value)),
      (error) => settle(codeOf(error)),
    );
  }

  /** Runs an operation that does not wait. */
  attempt(operation: () => Outcome): void {
    this.stop = undefined;
    try {
      this.outcome = operation();
    } catch (error) {
      this.outcome = codeOf(error);
    }
  }
}

function codeOf(error: unknown): Outcome {
  return (error as { code: string }).code;
}

interface Real {
  case: string;
  value?: unknown;
  ok?: boolean;
}

function describeSelected(got: object): Outcome {
  const { case: name, value, ok } = got as Real;
  const index = Number(name.slice(1));
  return ok === undefined ? sentBy(index) : receivedBy(index, value as number | undefined);
}

/** Real channels and their model, side by side. */
class Machine {
  private readonly chans: Chan<number>[];
  private readonly model: Model;
  private readonly waiting = new Set<Running>();

  constructor(capacities: readonly number[]) {
    this.chans = capacities.map((capacity) => new Chan<number>(capacity));
    this.model = new Model(capacities);
  }

  async run(steps: readonly Step[]): Promise<void> {
    for (const step of steps) await this.step(step);
    for (const chan of this.chans.keys()) await this.step({ kind: "close", chan });
    assert.equal(this.waiting.size, 0, "nobody waits on closed channels");
  }

  private async step(step: Step): Promise<void> {
    if (step.kind === "close") this.close(step.chan);
    else if (step.kind === "cancel") this.cancel(step.pick);
    else {
      const running = this.begin(step);
      await turn();
      this.follow(running, step.kind === "try" || step.kind === "trySelect");
    }
    await turn();
    this.compare();
  }

  private chan({ chan }: { chan: number }): Chan<number> {
    return this.chans[chan] as Chan<number>;
  }

  private begin(step: Exclude<Step, { kind: "close" | "cancel" }>): Running {
    if (step.kind === "iterate") {
      const running = new Running([{ chan: step.chan, value: undefined }]);
      running.stop = undefined;
      const iterator = this.chan(step)[Symbol.asyncIterator]();
      running.watch(iterator.next(), ({ value }) => receivedBy(0, value));
      return running;
    }
    const single = step.kind === "one" || step.kind === "try";
    const running = new Running(single ? step.cases.slice(0, 1) : step.cases);
    if (step.kind === "one") this.operate(running);
    else if (step.kind === "try") running.attempt(() => this.attempt(running.model.cases[0]!));
    else if (step.kind === "select") {
      const options = { signal: running.stop?.signal };
      running.watch(select(this.casesOf(step.cases), options), describeSelected);
    } else {
      running.attempt(() => {
        const got = trySelect(this.casesOf(step.cases));
        return got === undefined ? WAITS : describeSelected(got);
      });
    }
    return running;
  }

  private operate(running: Running): void {
    const c = running.model.cases[0] as ModelCase;
    const options = { signal: running.stop?.signal };
    if (c.value === undefined) {
      running.watch(this.chan(c).receive(options), ([value]) => receivedBy(0, value));
    } else {
      running.watch(this.chan(c).send(c.value, options), () => sentBy(0));
    }
  }

  private attempt(c: ModelCase): Outcome {
    if (c.value !== undefined) return this.chan(c).trySend(c.value) ? sentBy(0) : WAITS;
    const got = this.chan(c).tryReceive();
    return got === undefined ? WAITS : receivedBy(0, got[0]);
  }

  private casesOf(cases: readonly ModelCase[]): SelectCases {
    const entries = cases.map((c, index) => {
      const made = c.value === undefined ? recv(this.chan(c)) : send(this.chan(c), c.value);
      return [`c${index}`, made] as const;
    });
    return Object.fromEntries(entries);
  }

  /** Does in the model what the real channels have done. */
  private follow(running: Running, triesOnly: boolean): void {
    const { model, outcome } = running;
    const ready = [...model.cases.keys()].filter((i) => this.model.ready(model.cases[i]!));
    if (ready.length === 0) {
      if (!triesOnly) this.model.wait(model);
    } else {
      const chosen =
        outcome === CLOSED ? ready.find((i) => this.model.fails(model.cases[i]!)) : caseIn(outcome);
      assert.ok(chosen !== undefined && ready.includes(chosen), `"${outcome}", ready: ${ready}`);
      this.model.perform(model, chosen);
    }
    if (triesOnly) assert.equal(outcome, model.outcome);
    else this.waiting.add(running);
  }

  private close(number: number): void {
    const chan = this.chan({ chan: number });
    if (this.model.close(number)) chan.close();
    else assert.throws(() => chan.close(), { code: CLOSED });
  }

  private cancel(pick: number): void {
    const cancelable = [...this.waiting].filter(({ stop }) => stop !== undefined);
    const running = cancelable[pick % Math.max(1, cancelable.length)];
    if (running === undefined) return;
    running.stop?.abort();
    this.model.settle(running.model, CANCELED);
  }

  private compare(): void {
    for (const running of this.waiting) {
      assert.equal(running.outcome, running.model.outcome);
      if (running.outcome !== WAITS) this.waiting.delete(running);
    }
    for (const [i, chan] of this.chans.entries()) {
      assert.equal(chan.length, this.model.chans[i]?.buffer.length);
    }
  }
}

const CHANS = 3;
const chan = fc.nat({ max: CHANS - 1 });
const value = fc.option(fc.nat({ max: 999 }), { nil: undefined });
const cases = fc.array(fc.record({ chan, value }), { minLength: 1, maxLength: 4 });

/** Closing is rare: on closed channels nothing waits. */
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 48, arbitrary: fc.record({ kind: fc.constant("one" as const), cases }) },
  { weight: 32, arbitrary: fc.record({ kind: fc.constant("select" as const), cases }) },
  { weight: 12, arbitrary: fc.record({ kind: fc.constant("try" as const), cases }) },
  { weight: 12, arbitrary: fc.record({ kind: fc.constant("trySelect" as const), cases }) },
  { weight: 12, arbitrary: fc.record({ kind: fc.constant("iterate" as const), chan }) },
  { weight: 16, arbitrary: fc.record({ kind: fc.constant("cancel" as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("close" as const), chan }) },
);

test(`${STEPS} random operations on channels end as in the model`, async (t) => {
  const random = seeded(t);
  runtime().random = random;
  const seed = random.next() | 0;
  const capacities = fc.array(fc.constantFrom(0, 0, 1, 2, 5), {
    minLength: CHANS,
    maxLength: CHANS,
  });
  const length = { minLength: STEPS_PER_PROGRAM, maxLength: STEPS_PER_PROGRAM };
  const program = fc.array(step, { ...length, size: "max" });
  await fc.assert(
    fc.asyncProperty(capacities, program, (sizes, steps) => new Machine(sizes).run(steps)),
    { seed, numRuns: Math.ceil(STEPS / STEPS_PER_PROGRAM) },
  );
});
