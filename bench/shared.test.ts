// The measuring programs of the shared suite, run for a moment.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { absence, choosePeers } from "./peers.ts";
import type { Settings } from "./suite.ts";
import { shared } from "./suites/shared.ts";

const settings: Settings = {
  quick: true,
  rounds: 1,
  seconds: 0.01,
  warmup: 0.001,
  repeats: 0,
  cases: undefined,
  placement: { server: undefined, generator: undefined, text: "" },
};

describe("the programs of the shared suite", { concurrency: 2 }, () => {
  for (const peer of choosePeers(shared.peers?.() ?? [], undefined, true)) {
    it(`${peer.label} does what it has`, async (t) => {
      const absent = absence(peer);
      if (absent !== undefined) return t.skip(absent);
      for (const point of shared.cases(settings)) {
        assert.ok("run" in point);
        const { figures } = await point.run(peer, settings);
        for (const { key } of shared.figures) assert.ok(Number(figures[key]) > 0, key);
      }
    });
  }
});
