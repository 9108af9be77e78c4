/**
 * oracle.test.ts: random programs, judged twice: by the detector, and by an oracle that has the whole
 * run before it, draws every edge of the memory model and searches the graph.
 *
 * A program's goroutines read, write and update two places and synchronise by everything there is. The
 * executor writes down what happened; an operation that waits has an event before and one after it. Both
 * judges name, for each place, the steps that race with an earlier one.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { recv, send } from "../../chan/cases.ts";
import { Chan } from "../../chan/chan.ts";
import { select } from "../../chan/select.ts";
import { type OwnedContext, withCancel } from "../../context/cancel.ts";
import { background } from "../../context/context.ts";
import { Random } from "../../internal/random.ts";
import { type Goroutine, go } from "../../runtime/goroutine.ts";
import { AtomicInt32 } from "../../shared/atomic.ts";
import { Mutex } from "../../sync/mutex.ts";
import { Once } from "../../sync/once.ts";
import { Pool } from "../../sync/pool.ts";
import { RWMutex } from "../../sync/rwmutex.ts";
import { Semaphore } from "../../sync/semaphore.ts";
import { SyncMap } from "../../sync/syncmap.ts";
import { WaitGroup } from "../../sync/waitgroup.ts";
import { gosched, sleep } from "../../time/sleep.ts";
import { watchShared } from "./detector.ts";
import { shared } from "./shared.ts";

const PROGRAMS = Number(process.env.CORONET_FUZZ ?? 200);
const SEED = Number(process.env.CORONET_SEED ?? Math.floor(Math.random() * 1e9));

// ---- programs

type Op =
  | { op: "read" | "write" | "update"; place: "a" | "b" }
  | { op: "yield" | "sleep" | "send0" | "recv0" | "send2" | "recv2" | "trySend2" | "tryRecv2" }
  | { op: "selectRecv" | "selectSend" | "done" | "wait" | "atomic" | "await" | "resolve" }
  | { op: "load" | "store" | "swap" | "remove"; place: "a" | "b" }
  | { op: "clear" | "size" | "put" | "get" | "cancel" | "err" | "ended" | "swapAtomic" }
  | { op: "lock" | "wlock" | "rlock" | "units" | "once" | "spawn"; body: Op[] };

const PLAIN = ["read", "write", "update", "read", "write", "update", "yield", "yield"] as const;
const SYNC = [
  "sleep send0 recv0 send2 recv2 trySend2 tryRecv2 selectRecv selectSend done wait atomic await",
  "resolve lock wlock rlock units once spawn load load store store swap remove clear size put get",
  "cancel err ended swapAtomic",
]
  .join(" ")
  .split(" ");

function makeOps(random: Random, count: number, depth: number): Op[] {
  const ops: Op[] = [];
  for (let i = 0; i < count; i++) {
    const sync = random.below(5) < 2;
    const names: readonly string[] = sync ? SYNC : PLAIN;
    const op = names[random.below(names.length)] as string;
    const nests = ["lock", "wlock", "rlock", "units", "once", "spawn"].includes(op);
    if (nests && depth === 0) continue;
    if (nests) ops.push({ op, body: makeOps(random, 1 + random.below(4), depth - 1) } as Op);
    else ops.push({ op, place: random.below(2) === 0 ? "a" : "b" } as Op);
  }
  return ops;
}

// ---- what happened

interface Event {
  readonly strand: number;
  readonly step: number;
  readonly place?: "a" | "b";
  readonly writes?: boolean;
}

class Run {
  readonly events: Event[] = [];
  readonly edges: [from: number, to: number][] = [];
  strands = 1;
  private steps = 0;

  newStep(): number {
    return ++this.steps;
  }

  add(event: Event): number {
    return this.events.push(event) - 1;
  }

  edge(from: number | undefined, to: number | undefined): void {
    if (from !== undefined && to !== undefined) this.edges.push([from, to]);
  }
}

/** A value on a channel, with the events that belong to it. */
class Value {
  readonly sendStart: number;
  sendDone: number | undefined;
  recvStart: number | undefined;
  recvDone: number | undefined;

  constructor(sendStart: number) {
    this.sendStart = sendStart;
  }
}

class World {
  readonly run = new Run();
  readonly cell = shared<{ a: number; b: number }>({ a: 0, b: 0 });
  readonly stop = new AbortController();
  readonly mutex = new Mutex();
  readonly rw = new RWMutex();
  readonly units = new Semaphore(1);
  readonly chan0 = new Chan<Value>();
  readonly chan2 = new Chan<Value>(2);
  readonly group = new WaitGroup();
  readonly once = new Once();
  readonly atomic = new AtomicInt32(0);
  /** Values in the order in which they were sent, and those that were received. */
  readonly sent2: Value[] = [];
  readonly values0: Value[] = [];
  readonly releases = new Map<string, number[]>();
  readonly map = new SyncMap<string, number>();
  /** The last write of each key, and the last clear. */
  readonly written = new Map<string, number>();
  readonly pool = new Pool<object>(() => ({}), { limit: 3 });
  readonly put = new Map<object, number>();
  readonly context: OwnedContext;
  readonly cancel: () => void;
  canceled: number | undefined;
  onceEnd: number | undefined;
  readonly promise: Promise<void>;
  resolve = (): void => {};
  resolved: number | undefined;
  /** What the detector said: "place strand step" of the later access. */
  readonly found = new Set<string>();
  now = "";

  constructor() {
    this.promise = new Promise((resolve) => {
      this.resolve = resolve;
    });
    this.group.add(2);
    [this.context, this.cancel] = withCancel(background());
  }

  released(what: string, event: number): void {
    this.releases.set(what, [...(this.releases.get(what) ?? []), event]);
  }

  acquired(whats: string[], event: number): void {
    for (const what of whats) {
      for (const from of this.releases.get(what) ?? []) this.run.edge(from, event);
    }
  }
}

/** One goroutine of a program. */
class Actor {
  private readonly world: World;
  private readonly strand: number;
  private step: number;
  last: number | undefined;

  constructor(world: World, from: number | undefined) {
    this.world = world;
    this.strand = world.run.strands++;
    this.step = world.run.newStep();
    this.last = from;
  }

  private event(place?: "a" | "b", writes?: boolean): number {
    const { run } = this.world;
    const access = place === undefined ? {} : { place, writes: writes === true };
    const event = run.add({ strand: this.strand, step: this.step, ...access });
    run.edge(this.last, event);
    this.last = event;
    return event;
  }

  /** The first event after an await. */
  private resumed(): number {
    this.step = this.world.run.newStep();
    return this.event();
  }

  private access(place: "a" | "b", kind: "read" | "write" | "update"): void {
    const { cell } = this.world;
    this.world.now = `${place} ${this.strand} ${this.step}`;
    if (kind !== "write") this.event(place, false);
    if (kind !== "read") this.event(place, true);
    if (kind === "read") assert.ok(cell[place] >= 0);
    else if (kind === "write") cell[place] = 1;
    else cell[place]++;
  }

  async perform(ops: Op[]): Promise<void> {
    const children: [Goroutine<void>, Actor][] = [];
    for (const op of ops) {
      if (this.world.stop.signal.aborted) return;
      if (op.op === "spawn") {
        const actor = new Actor(this.world, this.event());
        children.push([go(() => actor.perform(op.body)), actor]);
      } else if (!this.atOnce(op)) {
        await this.waiting(op);
        // What comes is a step of its own: the await of this very function lies between.
        this.step = this.world.run.newStep();
      }
    }
    for (const [g, actor] of children) {
      await g.join();
      this.world.run.edge(actor.last, this.resumed());
    }
  }

  /** Does what needs no await; false when the operation is of another kind. */
  private atOnce(op: Op): boolean {
    const { world } = this;
    switch (op.op) {
      case "read":
      case "write":
      case "update":
        this.access(op.place, op.op);
        return true;
      case "resolve":
        if (world.resolved === undefined) world.resolved = this.event();
        world.resolve();
        return true;
      case "atomic": {
        const event = this.event();
        world.acquired(["atomic"], event);
        world.released("atomic", event);
        world.atomic.add(1);
        return true;
      }
      case "swapAtomic": {
        const event = this.event();
        world.acquired(["atomic"], event);
        if (world.atomic.compareAndSwap(2, 3)) world.released("atomic", event);
        return true;
      }
      case "done":
        if (world.group.count === 0) return true;
        world.released("done", this.event());
        world.group.done();
        return true;
      case "trySend2": {
        const value = new Value(this.event());
        if (!world.chan2.trySend(value)) return true;
        world.sent2.push(value);
        value.sendDone = this.event();
        return true;
      }
      case "tryRecv2": {
        const start = this.event();
        const value = world.chan2.tryReceive()?.[0];
        if (value === undefined) return true;
        value.recvStart = start;
        value.recvDone = this.event();
        return true;
      }
      case "cancel":
        world.canceled ??= this.event();
        world.cancel();
        return true;
      case "err": {
        const event = this.event();
        if (world.context.err !== undefined) world.run.edge(world.canceled, event);
        return true;
      }
      default:
        return this.kept(op);
    }
  }

  /** The map and the pool. */
  private kept(op: Op): boolean {
    const { map, written, pool, put, run } = this.world;
    switch (op.op) {
      case "load":
        run.edge(written.get(op.place) ?? written.get("all"), this.event());
        map.load(op.place);
        return true;
      case "store":
        written.set(op.place, this.event());
        map.store(op.place, 1);
        return true;
      case "swap":
      case "remove": {
        const event = this.event();
        run.edge(written.get(op.place) ?? written.get("all"), event);
        const changes = op.op === "swap" || map.has(op.place);
        if (op.op === "swap") map.swap(op.place, 1);
        else map.delete(op.place);
        if (changes) written.set(op.place, event);
        return true;
      }
      case "clear":
        written.clear();
        written.set("all", this.event());
        map.clear();
        return true;
      case "size": {
        const event = this.event();
        for (const from of written.values()) run.edge(from, event);
        assert.ok(map.size <= 2);
        return true;
      }
      case "put": {
        const object = {};
        put.set(object, this.event());
        pool.put(object);
        return true;
      }
      case "get":
        run.edge(put.get(pool.get()), this.event());
        return true;
      default:
        return false;
    }
  }

  private async waiting(op: Op): Promise<void> {
    const { world } = this;
    const { signal } = world.stop;
    switch (op.op) {
      case "yield":
        await gosched();
        this.resumed();
        return;
      case "sleep":
        await sleep(1, { signal });
        this.resumed();
        return;
      case "once": {
        const body = async (): Promise<void> => {
          this.event();
          await this.perform(op.body);
          world.onceEnd = this.resumed();
        };
        await world.once.do(body, { signal });
        world.run.edge(world.onceEnd, this.resumed());
        return;
      }
      case "await":
        await Promise.race([world.promise, aborted(signal)]);
        if (signal.aborted) return;
        world.run.edge(world.resolved, this.resumed());
        return;
      case "ended":
        await select({ end: world.context }, { signal });
        world.run.edge(world.canceled, this.resumed());
        return;
      case "wait":
        await world.group.wait({ signal });
        world.acquired(["done"], this.resumed());
        return;
      default:
        await this.block(op, signal);
    }
  }

  private async block(op: Op, signal: AbortSignal): Promise<void> {
    const { world } = this;
    switch (op.op) {
      case "lock":
        await world.mutex.lock({ signal });
        return await this.held(op.body, ["lock"], "lock", () => world.mutex.unlock());
      case "wlock":
        await world.rw.lock({ signal });
        return await this.held(op.body, ["read", "write"], "write", () => world.rw.unlock());
      case "rlock":
        await world.rw.rlock({ signal });
        return await this.held(op.body, ["write"], "read", () => world.rw.runlock());
      case "units":
        await world.units.acquire(1, { signal });
        return await this.held(op.body, ["units"], "units", () => world.units.release());
      default:
        return await this.communicate(op, signal);
    }
  }

  private async held(ops: Op[], takes: string[], gives: string, leave: () => void): Promise<void> {
    this.world.acquired(takes, this.resumed());
    try {
      await this.perform(ops);
    } finally {
      this.world.released(gives, this.resumed());
      leave();
    }
  }

  private async communicate({ op }: Op, signal: AbortSignal): Promise<void> {
    const { world } = this;
    const start = this.event();
    switch (op) {
      case "send0": {
        const value = this.newValue(start);
        await world.chan0.send(value, { signal });
        value.sendDone = this.resumed();
        return;
      }
      case "recv0":
        return this.received(start, (await world.chan0.receive({ signal }))[0]);
      case "selectSend": {
        const value = this.newValue(start);
        await select({ a: send(world.chan0, value), b: recv(new Chan<Value>()) }, { signal });
        value.sendDone = this.resumed();
        return;
      }
      case "selectRecv": {
        const cases = { a: recv(world.chan0), b: recv(world.chan2) };
        return this.received(start, (await select(cases, { signal })).value);
      }
      case "send2": {
        const value = new Value(start);
        world.sent2.push(value);
        await world.chan2.send(value, { signal });
        value.sendDone = this.resumed();
        return;
      }
      default:
        return this.received(start, (await world.chan2.receive({ signal }))[0]);
    }
  }

  private newValue(start: number): Value {
    const value = new Value(start);
    this.world.values0.push(value);
    return value;
  }

  private received(start: number, value: Value | undefined): void {
    (value as Value).recvStart = start;
    (value as Value).recvDone = this.resumed();
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** Runs a program until it has ended, or nothing moves any more. */
async function execute(programs: Op[][]): Promise<World> {
  let world: World | undefined;
  const stop = watchShared(() => world?.found.add(world.now));
  try {
    world = new World();
    const { run, stop: end } = world;
    const actors = programs.map((ops) => {
      const actor = new Actor(world as World, undefined);
      return go(async () => {
        try {
          await actor.perform(ops);
        } catch (error) {
          if ((error as { code?: string }).code !== "ERR_CANCELED") throw error;
        }
      }).join();
    });
    let over = false;
    const all = Promise.all(actors).then(() => {
      over = true;
    });
    for (let before = -1; !over && before !== run.events.length; ) {
      before = run.events.length;
      await sleep(4);
    }
    end.abort();
    await all;
    return world;
  } finally {
    stop();
  }
}

// ---- the oracle

function channelEdges({ run, values0, sent2 }: World): void {
  for (const value of [...values0, ...sent2]) run.edge(value.sendStart, value.recvDone);
  for (const value of values0) run.edge(value.recvStart, value.sendDone);
  sent2.forEach((value, k) => {
    if (k >= 2) run.edge(sent2[k - 2]?.recvStart, value.sendDone);
  });
}

/** For each event, all that come after it. */
function reachability({ events, edges }: Run): Set<number>[] {
  const next: number[][] = events.map(() => []);
  for (const [from, to] of edges) next[from]?.push(to);
  return events.map((_, from) => {
    const seen = new Set<number>();
    for (const todo = [from]; todo.length > 0; ) {
      for (const to of next[todo.pop() as number] as number[]) {
        if (!seen.has(to)) {
          seen.add(to);
          todo.push(to);
        }
      }
    }
    return seen;
  });
}

type Kind = "read" | "update" | "stale" | "write";

interface Step {
  readonly key: string;
  readonly strand: number;
  /** The first event of the whole step: it takes effect as one, and so does what it releases. */
  readonly first: number;
  /** Its first read and its first write of the place, if there are any. */
  readonly read: number | undefined;
  readonly write: number | undefined;
  readonly kind: Kind;
}

/** The steps that touch a place, in the order in which they ran, each with its kind. */
function stepsOf({ events }: Run, place: "a" | "b"): Step[] {
  const groups = new Map<string, { strand: number; ids: number[]; writes: boolean[] }>();
  events.forEach((event, id) => {
    if (event.place !== place) return;
    const key = `${place} ${event.strand} ${event.step}`;
    const group = groups.get(key) ?? { strand: event.strand, ids: [], writes: [] };
    group.ids.push(id);
    group.writes.push(event.writes === true);
    groups.set(key, group);
  });
  /** Strands that have only read since they last wrote. */
  const open = new Set<number>();
  return [...groups].map(([key, { strand, ids, writes }]) => {
    const looks = writes.indexOf(true);
    let kind: Kind;
    if (looks === -1) kind = "read";
    else if (looks === 0) kind = "write";
    else kind = looks === 1 && open.has(strand) ? "stale" : "update";
    if (kind === "read") open.add(strand);
    else open.delete(strand);
    const { step } = events[ids[0] as number] as Event;
    const first = events.findIndex((event) => event.strand === strand && event.step === step);
    return { key, strand, first, read: ids[writes.indexOf(false)], write: ids[looks], kind };
  });
}

function conflicting(a: Kind, b: Kind): boolean {
  const table: Record<Kind, Kind[]> = {
    read: ["write"],
    update: ["stale", "write"],
    stale: ["update", "stale", "write"],
    write: ["read", "update", "stale", "write"],
  };
  return table[a].includes(b);
}

function judge(world: World): Set<string> {
  channelEdges(world);
  const after = reachability(world.run);
  const racing = new Set<string>();
  for (const place of ["a", "b"] as const) {
    const steps = stepsOf(world.run, place);
    steps.forEach((now, i) => {
      for (const before of steps.slice(0, i)) {
        if (before.strand === now.strand) continue;
        const races = (event: number | undefined, kind: Kind): boolean =>
          event !== undefined &&
          conflicting(before.kind, kind) &&
          after[before.first]?.has(event) !== true;
        // It looks before it writes: what orders may lie between.
        const looked = now.kind !== "write" && races(now.read, "read");
        if (looked || races(now.write, now.kind)) racing.add(now.key);
      }
    });
  }
  return racing;
}

// ---- the comparison

test("the detector agrees with an oracle on random programs", async (t) => {
  t.diagnostic(`CORONET_SEED=${SEED} CORONET_FUZZ=${PROGRAMS}`);
  let racy = 0;
  let total = 0;
  for (let i = 0; i < PROGRAMS; i++) {
    const random = new Random(SEED + i);
    const programs = Array.from({ length: 2 + random.below(3) }, () =>
      makeOps(random, 2 + random.below(6), 2),
    );
    const world = await execute(programs);
    const expected = [...judge(world)].sort();
    const found = [...world.found].sort();
    const message = `seed ${SEED + i}: ${JSON.stringify(programs)}`;
    assert.deepEqual(found, expected, message);
    total++;
    if (expected.length > 0) racy++;
  }
  t.diagnostic(`${racy} of ${total} programs had a race`);
  assert.ok(racy > total / 20 && racy < (total * 19) / 20, "the programs are of both kinds");
});
