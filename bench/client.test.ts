// The measuring programs of the client suite, run for a moment against the C echo server.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { absence, allPeers, choosePeers, type Peer } from "./peers.ts";
import { cpuOfMachine, cpuOfProcess } from "./proc.ts";
import type { Settings } from "./suite.ts";
import { client } from "./suites/client.ts";

const settings: Settings = {
  quick: true,
  rounds: 1,
  seconds: 0.01,
  warmup: 0.001,
  repeats: 0,
  cases: undefined,
  placement: { server: undefined, generator: undefined, text: "" },
};

const echo = allPeers().find(({ id }) => id === "c") as Peer;

describe("the programs of the client suite", () => {
  for (const peer of choosePeers(client.peers?.() ?? [], undefined, true)) {
    it(`${peer.label} asks and is answered`, async (t) => {
      const absent = absence(echo) ?? absence(peer);
      if (absent !== undefined) return t.skip(absent);
      for (const point of client.cases(settings)) {
        if (!("run" in point)) continue;
        const { figures } = await point.run(peer, settings);
        for (const { key } of client.figures) assert.ok(Number(figures[key]) > 0, point.key);
      }
    });
  }

  it("reads CPU times that grow", () => {
    const before = [cpuOfProcess(process.pid), cpuOfMachine()];
    const until = performance.now() + 50;
    while (performance.now() < until);
    const now = [cpuOfProcess(process.pid), cpuOfMachine()];
    now.forEach((seconds, i) => {
      assert.ok(seconds > (before[i] as number));
    });
  });
});
