/**
 * conn_suite.ts: the conformance suite of Conn: every fact that holds for any connection.
 *
 * Each implementation runs it (sockets, pipes, whatever else calls itself a Conn). A fact is one test;
 * its name is the sentence that has to be true.
 */
import { describe, test } from "node:test";
import type { Conn } from "../src/index.ts";
import { bytes } from "./facts/bytes.ts";
import { closing } from "./facts/closing.ts";
import { deadlines } from "./facts/deadlines.ts";
import { errors } from "./facts/errors.ts";
import type { FactTable } from "./facts/fact.ts";
import { fairness } from "./facts/fairness.ts";
import { files } from "./facts/files.ts";
import { iterating } from "./facts/iterating.ts";
import { queueing } from "./facts/queueing.ts";
import { signals } from "./facts/signals.ts";
import { timeouts } from "./facts/timeouts.ts";
import { unreading } from "./facts/unreading.ts";
import { withLeakCheck } from "./leaks.ts";

const facts = {
  ...bytes,
  ...queueing,
  ...deadlines,
  ...timeouts,
  ...closing,
  ...iterating,
  ...signals,
  ...errors,
  ...fairness,
  ...unreading,
  ...files,
} satisfies FactTable;

/** A fact of the suite, by its sentence. */
export type Fact = keyof typeof facts;

/** Two ends that are connected to each other. */
export interface ConnPair {
  a: Conn;
  b: Conn;
  /** Closes both ends and whatever else was opened for them. */
  close(): Promise<void>;
}

/** What one kind of connection can do beside what every Conn does. */
export interface ConnFeatures {
  /** Ends `conn` so that `peer` sees a reset; by default by closing it with unread data. */
  reset?(conn: Conn, peer: Conn): Promise<void>;
  /** Where a layer says what the end is: ends the writing of what is below `conn`, without that. */
  cut?(conn: Conn): Promise<void>;
}

export interface ConnSuiteOptions {
  /** Makes a fresh pair; called once for each fact. */
  pair(): Promise<ConnPair>;
  features?: ConnFeatures;
  /** Facts that do not hold for this kind of connection, each with the reason why. */
  skips?: { [fact in Fact]?: string };
  /** Why this kind of connection can't be had on this machine, if so. */
  unavailable?: string | undefined;
}

/** Longest time for one fact, in ms: something hangs. */
const TIMEOUT_MS = 60_000;

async function resetByDiscarding(conn: Conn, peer: Conn): Promise<void> {
  peer.write("never read").catch(() => {});
  await conn.waitReadable();
  await conn.close();
}

/**
 * Registers the suite with node:test.
 *
 * @example
 * import { pipe } from "coronet";
 * import { connSuite } from "coronet/testing";
 *
 * connSuite("pipe", {
 *   async pair() {
 *     const [a, b] = pipe();
 *     const close = async () => {
 *       await a.close();
 *       await b.close();
 *     };
 *     return { a, b, close };
 *   },
 * });
 */
export function connSuite(name: string, options: ConnSuiteOptions): void {
  const { features, skips, unavailable } = options;
  const table: FactTable = facts;
  const unknown = Object.keys(skips ?? {}).filter((fact) => !(fact in table));
  if (unknown.length > 0) throw new Error(`connSuite: no such fact: ${unknown.join("; ")}`);
  describe(name, { skip: unavailable ?? false }, () => {
    for (const [fact, check] of Object.entries(table)) {
      const skip = skips?.[fact as Fact] ?? false;
      test(fact, { skip, timeout: TIMEOUT_MS }, (t) =>
        withLeakCheck(t, async () => {
          const pair = await options.pair();
          try {
            const { a, b } = pair;
            const { reset = resetByDiscarding, cut } = features ?? {};
            await check({ a, b, t, reset, cut });
          } finally {
            await pair.close();
          }
        }),
      );
    }
  });
}
