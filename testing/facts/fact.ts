/** fact.ts: what a fact about connections is given: two ends that are connected to each other. */
import type { TestContext } from "node:test";
import type { Conn } from "../../src/index.ts";

export interface Subject {
  readonly a: Conn;
  readonly b: Conn;
  readonly t: TestContext;
  /** Ends `conn` so that `peer`, its other end, sees a reset. */
  reset(conn: Conn, peer: Conn): Promise<void>;
  /** Ends what is below `conn`, which says nothing of it; undefined where the end is just the end. */
  readonly cut: ((conn: Conn) => Promise<void>) | undefined;
}

/** Fails when the fact does not hold. */
export type FactTest = (subject: Subject) => Promise<void>;

/** Facts by the sentence that states them. */
export type FactTable = Record<string, FactTest>;
