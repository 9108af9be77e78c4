/**
 * fake_kernel.test.ts: random programs on the fake kernel, thousands of them, each from a seed.
 *
 * What must hold in every one is written where it is checked: fake_kernel_end.ts (each operation) and
 * fake_kernel_world.ts (the whole run). A seed that fails is printed with the command that repeats it.
 *
 *   CORONET_SEEDS=500     so many seeds instead of 10,000
 *   CORONET_SEED=1234     that seed alone, with its system calls when CORONET_TRACE=1
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Defect, mixed, World } from "./fake_kernel_world.ts";

const SEEDS = Number(process.env.CORONET_SEEDS ?? 10_000);
const ONE = Number(process.env.CORONET_SEED ?? 0);
const BLOCKS = 5;
/** Failing seeds that are shown in full. */
const SHOWN = 3;

let current = 0;

function repeat(seed: number): string {
  return `CORONET_SEED=${seed} node --test dist/test/fake_kernel.test.js`;
}

// What escapes from a run ends the process; the seed must be known then too.
process.on("uncaughtExceptionMonitor", () => {
  console.error(`seed ${current} escaped; to repeat it: ${repeat(current)}`);
});

async function runSeed(seed: number): Promise<World> {
  current = seed;
  const world = new World(seed);
  if (ONE !== 0 && process.env.CORONET_TRACE === "1") {
    world.kernel.trace = (line) => console.log(`${world.clock.time} ${line}`);
  }
  await world.run();
  return world;
}

/** Runs seeds and fails with those that found something. */
async function runSeeds(first: number, count: number): Promise<void> {
  const failed: string[] = [];
  // The errors of everyday that the programs cause need no long stacks.
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 2;
  for (let seed = first; seed < first + count; seed++) {
    try {
      await runSeed(seed);
    } catch (error) {
      failed.push(`seed ${seed}: ${(error as Defect).message}\n  to repeat it: ${repeat(seed)}`);
    }
  }
  Error.stackTraceLimit = limit;
  if (failed.length === 0) return;
  const more = failed.length > SHOWN ? `\nand ${failed.length - SHOWN} more seeds` : "";
  assert.fail(`${failed.length} of ${count} seeds:\n${failed.slice(0, SHOWN).join("\n")}${more}`);
}

describe("random programs on a faulty kernel", () => {
  if (ONE !== 0) {
    test(`keep every promise, seed ${ONE}`, () => runSeeds(ONE, 1));
    return;
  }
  const size = Math.ceil(SEEDS / BLOCKS);
  for (let block = 0; block < BLOCKS; block++) {
    const first = block * size + 1;
    test(`keep every promise, seeds ${first} to ${first + size - 1}`, () => runSeeds(first, size));
  }

  test("keep every promise, seeds that nobody has tried before", async (t) => {
    const first = Math.floor(Math.random() * 0x7fff_0000) + 1;
    t.diagnostic(`from seed ${first}`);
    await runSeeds(first, Math.ceil(SEEDS / 20));
  });

  test("are the same again from the same seed", async () => {
    for (const seed of [1, 7, 23, 42, 99]) {
      const [one, two] = [await runSeed(seed), await runSeed(seed)];
      assert.equal(one.kernel.calls, two.kernel.calls);
      assert.equal(one.host.turns, two.host.turns);
      assert.equal(one.clock.time, two.clock.time);
      assert.deepEqual([...one.kernel.injected], [...two.kernel.injected]);
    }
  });

  test("differ from seed to seed, and meet every fault", async () => {
    const runs = new Set<string>();
    const injected = new Set<string>();
    for (let seed = 1; seed <= 300; seed++) {
      const { kernel, host, clock } = await runSeed(seed);
      runs.add(`${kernel.calls} ${host.turns} ${clock.time}`);
      for (const [fault, rate] of Object.entries(kernel.faults)) if (rate > 0) injected.add(fault);
    }
    assert.ok(runs.size > 290, `${runs.size} different runs of 300`);
    assert.equal(injected.size, Object.keys(new World(1).kernel.faults).length);
  });

  test("begin with numbers that do not resemble those of the seed before", () => {
    const firsts = Array.from({ length: 1000 }, (_, seed) => mixed(seed).below(10));
    for (let digit = 0; digit < 10; digit++) {
      const share = firsts.filter((value) => value === digit).length;
      assert.ok(share > 50 && share < 200, `${digit} came first ${share} times of 1000`);
    }
  });
});
