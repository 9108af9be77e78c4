/**
 * cosocket_random.test.ts: many users of a small pool, by seed: they connect with and without limits,
 * ask, leave answers unread, give back, close; the server answers, answers late, closes and resets.
 * Whatever happens, nobody gets another's answer, the bound holds, who came first is served first, and
 * nothing is left behind. CORONET_SEED repeats a run.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Conn,
  type ConnectOptions,
  closeIdle,
  connect,
  go,
  type Listener,
  listen,
  type NetError,
  type PooledConn,
  poolStats,
} from "../src/index.ts";
import type { Random } from "../src/internal/random.ts";
import { resetTCP } from "../testing/conns.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { seeded, turn } from "../testing/support.ts";

const USERS = 12;
const ROUNDS = 400;
const SIZE = 3;
const BACKLOG = 6;

/** What everybody may end with here; anything else is a defect. */
const EXPECTED =
  /^(ERR_DEADLINE|ERR_CANCELED|ERR_POOL_FULL|ERR_UNEXPECTED_EOF|ECONNRESET|EPIPE|ERR_NOT_REUSABLE)$/;

function expected(error: unknown): string {
  const code = (error as NetError).code ?? "";
  if (!EXPECTED.test(code)) throw error;
  return code;
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await turn();
}

/** Answers each line with the same line, and misbehaves now and then. */
async function serve(conn: Conn, random: Random): Promise<void> {
  await using _ = conn;
  let buffered = "";
  try {
    for await (const chunk of conn) {
      buffered += Buffer.from(chunk).toString();
      const lines = buffered.split("\n");
      buffered = lines.pop() as string;
      for (const line of lines) {
        if (random.chance(0.02)) return;
        if (random.chance(0.02)) return await resetTCP(conn);
        if (random.chance(0.2)) await turns(random.below(4));
        await conn.write(`${line}\n`);
        // Nobody asked for this: it may find the connection in the pool already.
        if (random.chance(0.03)) {
          await turns(random.below(4));
          await conn.write("surprise\n");
        }
      }
    }
  } catch (error) {
    expected(error);
  }
}

/** The pool as its users see it, and what must hold for it at any time. */
class Model {
  readonly address: string;
  used = 0;
  /** Calls of connect() that had to wait, oldest first, and are not settled. */
  readonly waiting: object[] = [];
  given = 0;
  codes = new Map<string, number>();

  constructor(address: string) {
    this.address = address;
  }

  count(code: string): void {
    this.codes.set(code, (this.codes.get(code) ?? 0) + 1);
  }

  check(): void {
    const stats = poolStats(this.address)[0];
    if (stats === undefined) return;
    const { idle, live, waiting, hits, misses } = stats;
    const what = JSON.stringify({ ...stats, used: this.used });
    assert.ok(live <= SIZE, `the bound does not hold: ${what}`);
    assert.ok(waiting <= BACKLOG, `too many wait: ${what}`);
    assert.ok(idle + this.used <= live, `connections are not counted: ${what}`);
    assert.ok(
      waiting === 0 || (idle === 0 && live === SIZE),
      `somebody waits for nothing: ${what}`,
    );
    assert.ok(this.given <= hits + misses, what);
  }

  /** A call that waited is served: those before it have been, and do their own dials. */
  served(ticket: object): void {
    const at = this.waiting.indexOf(ticket);
    const { idle = 0, live = 0 } = poolStats(this.address)[0] ?? {};
    assert.ok(at <= live - idle - this.used, `${at} were before, and still wait`);
  }

  async connect(options: ConnectOptions): Promise<PooledConn> {
    const ticket = {};
    const before = poolStats(this.address)[0]?.waiting ?? 0;
    const connecting = connect(this.address, options);
    const waits = (poolStats(this.address)[0]?.waiting ?? 0) > before;
    if (waits) this.waiting.push(ticket);
    try {
      const conn = await connecting;
      if (waits) this.served(ticket);
      this.used++;
      this.given++;
      return conn;
    } finally {
      if (waits) this.waiting.splice(this.waiting.indexOf(ticket), 1);
    }
  }
}

function randomOptions(random: Random): ConnectOptions {
  const options: ConnectOptions = { poolSize: SIZE, backlog: BACKLOG };
  if (random.chance(0.2)) options.timeout = 1 + random.below(4);
  if (random.chance(0.2)) {
    const controller = new AbortController();
    options.signal = controller.signal;
    void turns(random.below(5)).then(() => controller.abort());
  }
  if (random.chance(0.3)) options.idleTimeout = 1 + random.below(3);
  return options;
}

/** Asks and reads the answers; true when one is left unread, which it has to wait for then. */
async function use(conn: PooledConn, random: Random, name: string): Promise<boolean> {
  for (let i = random.below(3); i >= 0; i--) {
    const question = `${name}.${i}`;
    await conn.write(`${question}\n`);
    if (random.chance(0.1)) conn.setTimeouts({ read: 1 });
    if (random.chance(0.05)) {
      await conn.waitReadable();
      return true;
    }
    let answer = await conn.readLine();
    while (answer === "surprise") answer = await conn.readLine();
    if (answer === null) return false;
    assert.equal(answer, question);
  }
  return false;
}

async function user(model: Model, random: Random, id: number): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    model.check();
    try {
      await using conn = await model.connect(randomOptions(random));
      let over = false;
      try {
        model.check();
        const unread = await use(conn, random, `${id}.${round}`);
        if (random.chance(0.3)) await turns(random.below(3));
        if (random.chance(0.8)) {
          model.used--;
          over = true;
          const taken = conn.setKeepalive();
          assert.ok(!(taken && unread), "the next user would read what is not his");
        }
      } finally {
        if (!over) model.used--;
      }
    } catch (error) {
      model.count(expected(error));
    }
    // Now and then long enough for connections to be idle, and to be so for too long.
    if (round % 100 < 50 && random.chance(0.5)) await turns(random.below(200));
  }
}

async function accept(listener: Listener, random: Random): Promise<void> {
  for await (const conn of listener) go(serve, conn, random);
}

test("a small pool under random users holds its bound, its order and its answers apart", (t) =>
  withLeakCheck(t, async () => {
    const random = seeded(t);
    await using listener = await listen("tcp", "127.0.0.1:0");
    go(accept, listener, random);
    const model = new Model(String(listener.addr));
    const users = Array.from({ length: USERS }, (_, id) => go(user, model, random, id).join());
    await Promise.all(users);
    model.check();
    closeIdle(model.address);
    const [stats] = poolStats(model.address);
    assert.deepEqual([stats?.live, stats?.idle, stats?.waiting, model.used], [0, 0, 0, 0]);
    t.diagnostic(JSON.stringify({ ...stats, errors: Object.fromEntries(model.codes) }));
    for (const each of ["hits", "misses", "refused"] as const) {
      assert.ok((stats?.[each] ?? 0) > 0, `no case of ${each}`);
    }
  }));
