/** worker_kills.test.ts: one worker process is killed again and again while the others stream. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import type { Addr, Conn, Server, ServerOptions } from "../src/index.ts";
import { Random } from "../src/internal/random.ts";
import { kill } from "./marked.ts";
import { answered, ask, connect, pause, start, until } from "./served.ts";

const KILLS = 6;

/** An echo, checksummed on both ways, until it is told to end. */
class Stream {
  private stopped = false;
  private readonly sent = createHash("sha256");
  private readonly got = createHash("sha256");
  bytes = 0;
  private readonly conn: Conn;
  private readonly over: Promise<unknown>;

  constructor(conn: Conn, seed: number) {
    this.conn = conn;
    this.over = Promise.all([this.write(new Random(seed)), this.read()]);
  }

  private async write(random: Random): Promise<void> {
    while (!this.stopped) {
      // Digits are no word that the module knows.
      const chunk = Buffer.alloc(1 + random.below(60_000), `${random.next()}`);
      this.sent.update(chunk);
      await this.conn.write(chunk);
      await pause(1);
    }
    await this.conn.closeWrite();
  }

  private async read(): Promise<void> {
    for await (const chunk of this.conn) {
      this.got.update(chunk);
      this.bytes += chunk.length;
    }
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.over;
    await this.conn.close();
    assert.ok(this.bytes > 0);
    assert.equal(this.got.digest("hex"), this.sent.digest("hex"));
  }
}

/** A connection to one of the workers that are not killed. */
async function elsewhere(addr: Addr, victim: number): Promise<Conn> {
  for (;;) {
    const conn = await connect(addr);
    if (answered(await ask(conn, "id")).pid !== victim) return conn;
    await conn.close();
  }
}

async function servingAt(server: Server, index: number): Promise<number> {
  let pid = 0;
  await until(`worker ${index} serves`, async () => {
    const { workers } = await server.stats();
    const found = workers.find((each) => each.index === index && each.state === "serving");
    pid = found?.pid ?? 0;
    return pid !== 0;
  });
  return pid;
}

for (const placement of [undefined, "round-robin"] as const) {
  const what = placement ?? "whoever is free";
  test(`a worker is killed in a loop: others' streams are untouched, restarts back off (${what})`, async () => {
    const options: Partial<ServerOptions> = { model: "process", workers: 3 };
    if (placement !== undefined) options.placement = placement;
    await using started = await start(options);
    const { server, addr, lines } = started;
    let victim = await servingAt(server, 0);
    const streams: Stream[] = [];
    for (let i = 0; i < 4; i++) streams.push(new Stream(await elsewhere(addr, victim), i + 1));
    const victims = new Set<number>();
    for (let i = 0; i < KILLS; i++) {
      victim = await servingAt(server, 0);
      victims.add(victim);
      const before = streams.map(({ bytes }) => bytes);
      kill(victim);
      await until("it is known", async () => (await server.stats()).died === i + 1);
      await until("every stream goes on", () =>
        streams.every(({ bytes }, n) => bytes > (before[n] as number)),
      );
    }
    await servingAt(server, 0);
    for (const stream of streams) await stream.stop();
    assert.equal(victims.size, KILLS);
    const pauses = lines.flatMap((text) => /is replaced in (\d+) ms/.exec(text)?.[1] ?? []);
    // A worker that had served for long when it was killed starts the row anew.
    assert.ok(pauses.includes("100") && pauses.includes("200"), lines.join("\n"));
    const workers = Math.max(...(await server.stats()).workers.map(({ id }) => id));
    assert.equal(workers, 3 - 1 + KILLS);
  });
}
