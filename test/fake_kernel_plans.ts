/**
 * fake_kernel_plans.ts: what the goroutines of a run do with their connections.
 */
import { NetError, TCPConn } from "../src/index.ts";
import { READER, WRITER } from "../src/poll/op.ts";
import { go } from "../src/runtime/goroutine.ts";
import type { End } from "./fake_kernel_end.ts";

export type Role = "client" | "server";

/** Starts the goroutines of one end; each is awaited. */
export type Plan = (end: End, role: Role) => Promise<unknown>[];

/** Virtual time after which an end is closed, whatever it is doing. */
const LIMIT_MS = 3000;

/** Runs an end's part of the plan, then closes it. */
export async function behave(end: End, role: Role): Promise<void> {
  const { world } = end;
  const done = new AbortController();
  const limit = go(async () => {
    await world.runtime.sleep(1 + world.random.below(LIMIT_MS), done.signal);
    await end.close();
  });
  const work = world.plan(end, role);
  if (world.random.chance(0.3)) work.push(run(chaos, end));
  await Promise.all(work);
  done.abort();
  await limit.join();
  await afterClose(end);
}

/** Runs a goroutine whose connection may fail under it at any moment. */
function run<A extends unknown[]>(
  fn: (end: End, ...args: A) => Promise<void>,
  end: End,
  ...args: A
): Promise<void> {
  const g = go(fn, end, ...args);
  return g.join().catch((error: unknown) => {
    // The end has judged it already.
    if (!(error instanceof NetError)) throw error;
  });
}

/** What one goes on after: the operation is over, the connection is not. */
function goesOn(end: End, error: unknown, side: typeof READER | typeof WRITER): boolean {
  const { code } = error as NetError;
  if (code === "ERR_DEADLINE" && !end.closed) {
    end.setDeadline([side], Infinity);
    return true;
  }
  return code === "ERR_CANCELED";
}

async function writer(end: End, total: number): Promise<void> {
  const { random } = end.world;
  for (let left = total, failures = 0; left > 0 && failures < 20; ) {
    const n = Math.min(left, 1 + random.below(random.chance(0.2) ? 400 : 60));
    left -= n;
    if (random.chance(0.08) && !end.closed) end.setDeadline([WRITER], end.world.ms() - 1);
    try {
      if (random.chance(0.3)) await end.writev(cut(end, n), end.world.maybeSignal());
      else await end.write(end.bytes(n), end.world.maybeSignal());
    } catch (error) {
      failures++;
      if (!goesOn(end, error, WRITER)) throw error;
    }
    if (random.chance(0.1)) await end.world.sleep();
  }
}

/** n bytes in a few chunks, some of them empty. */
function cut(end: End, n: number): Uint8Array[] {
  const { random } = end.world;
  const chunks: Uint8Array[] = [];
  for (let left = n; left > 0; ) {
    if (random.chance(0.2)) chunks.push(new Uint8Array(0));
    const size = 1 + random.below(left);
    chunks.push(end.bytes(size));
    left -= size;
  }
  return chunks;
}

async function writerThenEnd(end: End, total: number): Promise<void> {
  await writer(end, total);
  await end.closeWrite();
}

async function reader(end: End): Promise<void> {
  const { random } = end.world;
  for (let failures = 0; failures < 20; ) {
    if (random.chance(0.08) && !end.closed) end.setDeadline([READER], end.world.ms() - 1);
    try {
      if (await readOnce(end)) break;
    } catch (error) {
      failures++;
      if (goesOn(end, error, READER)) continue;
      // A failure stays one: the silence after it is not EOF.
      if (!end.closed && random.chance(0.5)) await readOnce(end);
      throw error;
    }
    if (random.chance(0.1)) await end.world.sleep();
  }
  if (end.ended && random.chance(0.3) && !end.closed) await end.read(8);
}

/** True at EOF. */
async function readOnce(end: End): Promise<boolean> {
  const { random } = end.world;
  const way = random.below(4);
  if (way === 0) return (await end.chunk()) === null;
  if (way === 1) await end.waitReadable(end.world.maybeSignal());
  const size = 1 + random.below(random.chance(0.3) ? 8 : 300);
  return (await end.read(size, end.world.maybeSignal())) === null;
}

/** Reads in a loop of the usual form. */
async function consumer(end: End): Promise<void> {
  for (;;) {
    const chunk = await end.chunk();
    if (chunk === null) return;
    if (end.world.random.chance(0.05)) await end.world.sleep();
  }
}

async function echo(end: End): Promise<void> {
  for (;;) {
    const chunk = await end.chunk();
    if (chunk === null) break;
    await end.write(chunk);
  }
  if (end.world.random.chance(0.7)) await end.closeWrite();
}

/** Does one thing at a moment that suits nobody. */
async function chaos(end: End): Promise<void> {
  const { world } = end;
  await world.sleep();
  if (end.closed) return;
  const { conn } = end;
  const deeds: (() => Promise<void> | void)[] = [
    () => end.close(),
    () => end.closeRead(),
    () => end.closeWrite(),
    () => end.setDeadline([READER, WRITER], world.ms() - 5),
    () => end.setDeadline([READER, WRITER], -1),
    () => {
      conn.unref();
    },
    async () => {
      conn.unref();
      await world.sleep();
      conn.ref();
    },
    async () => {
      // 0 resets the connection, more waits until the peer has everything.
      if (conn instanceof TCPConn) conn.setLinger(world.random.below(2) * 0.05);
      await end.close();
    },
  ];
  await (deeds[world.random.below(deeds.length)] as () => Promise<void> | void)();
}

/** Closed is closed: every operation says so, at once. */
async function afterClose(end: End): Promise<void> {
  await end.close();
  await end.close();
  if (!end.world.random.chance(0.2)) return;
  for (const call of [() => end.read(4), () => end.write(end.bytes(4)), () => end.waitReadable()]) {
    const outcome = await call().then(
      () => "success",
      (error: NetError) => error.code,
    );
    if (outcome !== "ERR_CLOSED") end.problem(`after close: ${outcome}`);
  }
}

function amount(end: End): number {
  const { random } = end.world;
  return random.below(random.chance(0.2) ? 900 : 150);
}

export const PLANS: readonly Plan[] = [
  // A client that sends, half-closes and reads its echo.
  (end, role) =>
    role === "server" ? [run(echo, end)] : [run(writerThenEnd, end, amount(end)), run(reader, end)],
  // Streams in both directions, independent of each other.
  (end) => [run(writerThenEnd, end, amount(end)), run(reader, end)],
  // One end sends, the other consumes in a loop.
  (end, role) =>
    role === "server" ? [run(consumer, end)] : [run(writerThenEnd, end, amount(end))],
  // Several readers and writers on one end.
  (end) => [
    run(writer, end, amount(end)),
    run(writer, end, amount(end)),
    run(reader, end),
    run(reader, end),
    run(consumer, end),
  ],
  // Question and answer.
  (end, role) => [run(role === "server" ? echo : pingPong, end)],
];

async function pingPong(end: End): Promise<void> {
  for (let i = 1 + end.world.random.below(12); i > 0; i--) {
    const n = 1 + end.world.random.below(100);
    await end.write(end.bytes(n));
    for (let left = n; left > 0; ) {
      const got = await end.read(left);
      if (got === null) return;
      left -= got;
    }
  }
}
