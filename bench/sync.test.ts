// The measuring programs of the sync suite, run for a moment: each does every case it says it has.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { absence, choosePeers } from "./peers.ts";
import { measureProgram } from "./program.ts";
import type { Settings } from "./suite.ts";
import { sync } from "./suites/sync.ts";

const settings: Settings = {
  quick: true,
  rounds: 1,
  seconds: 0.01,
  warmup: 0.001,
  repeats: 0,
  cases: undefined,
  placement: { server: undefined, generator: undefined, text: "" },
};

const peers = choosePeers(sync.peers?.() ?? [], undefined, true);

describe("the programs of the sync suite", { concurrency: 2 }, () => {
  for (const peer of peers) {
    it(`${peer.label} does what it has`, async (t) => {
      const absent = absence(peer);
      if (absent !== undefined) return t.skip(absent);
      const cases = sync.cases(settings).flatMap((point) => ("run" in point ? [point] : []));
      for (const point of cases.filter((item) => item.has(peer))) {
        const { figures } = await point.run(peer, settings);
        assert.ok(Number(figures.ns) > 0 && Number(figures.cpu) > 0, point.key);
      }
    });
  }

  it("fail with a word for a case they do not know", async () => {
    const coronet = peers.find(({ family }) => family === "coronet");
    assert.ok(coronet !== undefined);
    await assert.rejects(
      measureProgram(coronet, "nonsense", settings),
      /no case is called nonsense/,
    );
  });
});
