/**
 * packet_suite.ts: the conformance suite of PacketConn: every fact that holds for any network of
 * datagrams. A fact is one test; its name is the sentence that has to be true.
 */
import { describe, test } from "node:test";
import type { PacketConn } from "../src/index.ts";
import { type PacketFacts, packets } from "./facts/packets.ts";
import { withLeakCheck } from "./leaks.ts";

export interface PacketSuiteOptions {
  /** Opens a fresh socket; called twice for each fact. */
  open(): Promise<PacketConn>;
  /** Why this network can't be had on this machine, if so. */
  unavailable?: string | undefined;
}

/** Longest time for one fact, in ms: something hangs. */
const TIMEOUT_MS = 60_000;

/**
 * Registers the suite with node:test.
 *
 * @example
 * import { listenPacket } from "coronet";
 * import { packetSuite } from "coronet/testing";
 *
 * packetSuite("udp4", { open: () => listenPacket("udp4", "127.0.0.1:0") });
 */
export function packetSuite(name: string, options: PacketSuiteOptions): void {
  const table: PacketFacts = packets;
  describe(name, { skip: options.unavailable ?? false }, () => {
    for (const [fact, check] of Object.entries(table)) {
      test(fact, { timeout: TIMEOUT_MS }, (t) =>
        withLeakCheck(t, async () => {
          await using a = await options.open();
          await using b = await options.open();
          await check({ a, b, t });
        }),
      );
    }
  });
}
