// The measuring programs of the chan suites, run for a moment: each does every case it says it has.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { absence, choosePeers } from "./peers.ts";
import type { Settings } from "./suite.ts";
import { chan, parked } from "./suites/chan.ts";

const settings: Settings = {
  quick: true,
  rounds: 1,
  seconds: 0.01,
  warmup: 0.001,
  repeats: 0,
  cases: undefined,
  placement: { server: undefined, generator: undefined, text: "" },
};

for (const suite of [chan, parked]) {
  describe(`the programs of the ${suite.name} suite`, { concurrency: 2 }, () => {
    for (const peer of choosePeers(suite.peers?.() ?? [], undefined, true)) {
      it(`${peer.label} does what it has`, async (t) => {
        const absent = absence(peer);
        if (absent !== undefined) return t.skip(absent);
        const cases = suite.cases(settings).flatMap((point) => ("run" in point ? [point] : []));
        for (const point of cases.filter((item) => item.has(peer))) {
          const { figures } = await point.run(peer, settings);
          for (const { key } of suite.figures) assert.ok(Number(figures[key]) > 0, point.key);
        }
      });
    }
  });
}
