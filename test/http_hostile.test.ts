// Clients that mean harm: the server refuses or outlasts each, its memory stays what it was, everybody else
// is served meanwhile, and nothing is left of them.
//
//   CORONET_ATTACKS=1   with as many connections as in docs/decisions/http.md
import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { ATTACKS, type Attack, type Outcome } from "../testing/http_attacks.ts";
import { Child } from "./child.ts";

const EARNEST = process.env.CORONET_ATTACKS !== undefined;
/** Beyond what the server had before: fragments, code, slabs. */
const GROWTH = 24 * 1024 * 1024;
/** So that the slow ones end within a test. */
const LIMITS = { headerTime: 1_000, idle: 2_000, write: 1_000, bodyRate: 1_000_000 };

interface Report {
  held: number;
  open: number;
  connections: number;
}

/** What each attack is told. */
const TOLD: Record<string, string[]> = {
  "heads that come a byte at a time": ["408"],
  "headers without end": ["431"],
  "chunk extensions without end": ["400"],
  "trailers without end": ["431"],
  "pipelined requests on one connection": ["200"],
  "pipelined requests, answers unread": ["none"],
  "bodies longer than declared": ["200"],
  "resets in mid-response": ["200"],
  "responses that nobody reads": ["none"],
  "connections without a request": ["none"],
  "chunks of one byte": ["200"],
  "upgrades that nobody takes up": ["200"],
  "tunnels that nobody takes up": ["200"],
  "expectations without a body": ["100"],
};

describe("a server among clients that mean harm", () => {
  let child: Child;
  let port = 0;

  before(async () => {
    const options = { execArgv: ["--expose-gc"], timeout: 600_000 };
    child = new Child("http_victim", [JSON.stringify(LIMITS)], options);
    port = Number(/^listening (\d+)$/.exec(await child.line())?.[1]);
  });

  after(() => child[Symbol.asyncDispose]());

  async function get(path: string): Promise<string> {
    const outgoing = request({ port, path, agent: false });
    outgoing.end();
    const [incoming] = await once(outgoing, "response");
    let text = "";
    for await (const chunk of incoming) text += chunk;
    return text;
  }

  async function report(): Promise<Report> {
    return JSON.parse(await get("/report")) as Report;
  }

  /** Once the connections of an attack have gone. */
  async function settled(): Promise<Report> {
    for (let i = 0; ; i++) {
      const now = await report();
      if (now.connections <= 1 || i === 200) return now;
      await delay(50);
    }
  }

  /** Somebody else asks all the time; every one of the answers must come. */
  async function besides(attack: Promise<Outcome>): Promise<Outcome> {
    let over = false;
    const asking = (async () => {
      while (!over) {
        assert.equal(await get("/"), "hello");
        await delay(5);
      }
    })();
    const outcome = await attack.finally(() => {
      over = true;
    });
    await asking;
    return outcome;
  }

  async function judge(attack: Attack): Promise<void> {
    const count = EARNEST ? attack.many : attack.few;
    const earlier = await settled();
    const { statuses } = await besides(attack.run(port, count));
    // A response may be lost to a reset of a connection that was still being written to.
    const told = Object.keys(statuses).filter((status) => status !== "none");
    const expected = TOLD[attack.name] as string[];
    assert.deepEqual(
      told.sort(),
      expected.filter((status) => status !== "none"),
      JSON.stringify(statuses),
    );
    let later = await settled();
    assert.ok(later.connections <= 1, `${later.connections} connections are left`);
    // V8 gives the memory of buffers back some time after it has found them unused.
    for (let i = 0; i < 100 && later.held - earlier.held >= GROWTH; i++) {
      await delay(50);
      later = await report();
    }
    const grown = later.held - earlier.held;
    assert.ok(grown < GROWTH, `the server holds ${grown} bytes more`);
  }

  it("serves once, so that its memory is what it needs", async () => {
    for (let i = 0; i < 20; i++) await get("/large");
  });

  for (const attack of ATTACKS) it(`outlasts ${attack.name}`, () => judge(attack));
});
