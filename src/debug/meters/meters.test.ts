/** meters.test.ts: what is counted, and that nothing is left when nobody watches. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { turn } from "../../../testing/support.ts";
import { Chan } from "../../chan/chan.ts";
import { Response, serve } from "../../http/index.ts";
import { dial } from "../../net/dial.ts";
import { listen } from "../../net/listen.ts";
import { pipe } from "../../net/pipe.ts";
import { go } from "../../runtime/goroutine.ts";
import { observer } from "../../runtime/observer.ts";
import { Mutex } from "../../sync/mutex.ts";
import { gosched, sleep } from "../../time/sleep.ts";
import { Histogram, mergeHistograms } from "./histogram.ts";
import { meterSeries, meters, openTraffic, trafficOf, watchMeters } from "./meters.ts";
import { COLUMNS, type Column, SeriesRing } from "./series.ts";

describe("a histogram", () => {
  test("knows every value to an eighth of itself", () => {
    for (let value = 0; value < 2 ** 31; value = value * 2 + 1 + (value >> 3)) {
      const histogram = new Histogram(1);
      histogram.record(value);
      const [[upTo, count] = []] = histogram.snapshot().buckets;
      assert.equal(count, 1);
      assert.ok(
        (upTo as number) >= value && (upTo as number) <= value * 1.125,
        `${value}: ${upTo}`,
      );
    }
  });

  test("gives quantiles, the sum and the largest", () => {
    const histogram = new Histogram(1000);
    for (let i = 1; i <= 1000; i++) histogram.record(i / 100);
    const { count, sum, max, p50, p99, p999 } = histogram.snapshot();
    assert.equal(count, 1000);
    assert.equal(Math.round(sum), 5005);
    assert.equal(max, 10);
    assert.ok(p50 >= 5 && p50 <= 5.7, String(p50));
    assert.ok(p99 >= 9.9 && p999 <= 10, `${p99} ${p999}`);
  });

  test("takes nothing, negative and huge values", () => {
    const histogram = new Histogram(1000);
    assert.equal(histogram.snapshot().p99, 0);
    histogram.record(-1);
    histogram.record(1e12);
    const { count, max, p999 } = histogram.snapshot();
    assert.equal(count, 2);
    assert.equal(max, 1e12);
    assert.ok(p999 > 2e6);
  });

  test("forgets its peak when that is taken, and not its maximum", () => {
    const histogram = new Histogram(1);
    histogram.record(7);
    assert.equal(histogram.takePeak(), 7);
    assert.equal(histogram.takePeak(), 0);
    histogram.record(3);
    assert.equal(histogram.takePeak(), 3);
    assert.equal(histogram.snapshot().max, 7);
  });

  test("of several is as if one had recorded everything", () => {
    const all = new Histogram(1);
    const parts = [new Histogram(1), new Histogram(1)] as const;
    for (let i = 0; i < 500; i++) {
      all.record(i * i);
      parts[i % 2]?.record(i * i);
    }
    const merged = mergeHistograms(parts.map((part) => part.snapshot()));
    assert.deepEqual(merged, all.snapshot());
  });
});

describe("the series", () => {
  const values = (n: number): Record<Column, number> =>
    Object.fromEntries(COLUMNS.map((name) => [name, n])) as Record<Column, number>;

  test("keeps values and rates, and the newest of them", () => {
    const ring = new SeriesRing(3, 0, values(10));
    for (let i = 1; i <= 5; i++) ring.add(i * 2000, values(10 + i * 100));
    const { time, columns } = ring.read();
    assert.deepEqual(time, [6000, 8000, 10_000]);
    assert.deepEqual(columns.goroutines, [310, 410, 510]);
    assert.deepEqual(columns.accepted, [50, 50, 50]);
    assert.deepEqual(ring.read(1).time, [10_000]);
  });
});

describe("meters", () => {
  test("count conns, bytes and accepts by network and listener", async () => {
    const unwatch = watchMeters();
    const before = meters();
    const listener = await listen("tcp", "127.0.0.1:0");
    const [client, server] = await Promise.all([
      dial("tcp", String(listener.addr)),
      listener.accept(),
    ]);
    await client.write("hello");
    await server.read(new Uint8Array(10));
    const { networks, listeners, listening } = meters();
    const own = listeners.find(({ address }) => address === String(listener.addr));
    assert.deepEqual(networks.tcp, {
      opened: (before.networks.tcp?.opened ?? 0) + 2,
      accepted: (before.networks.tcp?.accepted ?? 0) + 1,
      live: (before.networks.tcp?.live ?? 0) + 2,
      bytesIn: 5,
      bytesOut: 5,
      reads: 1,
      writes: 1,
    });
    assert.deepEqual([own?.accepted, own?.live, own?.bytesIn, own?.bytesOut], [1, 1, 5, 0]);
    assert.equal(listening, before.listening + 1);
    assert.equal(trafficOf(server)?.bytesIn, 5);
    assert.ok(openTraffic().some(({ endpoint }) => endpoint === client));
    await client.close();
    await server.close();
    await listener.close();
    const after = meters();
    assert.equal(after.networks.tcp?.live, before.networks.tcp?.live ?? 0);
    assert.equal(after.listening, before.listening);
    assert.deepEqual(openTraffic(), []);
    unwatch();
    assert.equal(trafficOf(server), undefined);
  });

  test("count what is waited for, and how long locks and channels are", async () => {
    const chan = new Chan<number>();
    const [a, b] = pipe();
    const early = go(() => a.read(new Uint8Array(1)));
    await Promise.resolve();
    await Promise.resolve();
    const unwatch = watchMeters();
    const mutex = new Mutex();
    const held = await mutex.lock();
    const receiver = go(() => chan.receive());
    const locker = go(async () => {
      using _ = await mutex.lock();
    });
    await sleep(2);
    const { waits, goroutines } = meters();
    assert.equal(waits["chan receive"]?.now, 1);
    assert.equal(waits["mutex lock"]?.now, 1);
    assert.equal(waits.read?.now, 1, "the one that began before");
    assert.equal(waits.read?.lasting, undefined);
    assert.ok(goroutines.waiting >= 3);
    held[Symbol.dispose]();
    await chan.send(1);
    await b.write("x");
    await Promise.all([early.join(), receiver.join(), locker.join()]);
    const after = meters().waits;
    assert.equal(after["chan receive"]?.now, 0);
    assert.equal(after.read?.now ?? 0, 0);
    assert.equal(after["mutex lock"]?.lasting?.count, 1);
    assert.ok((after["mutex lock"]?.lasting?.max ?? 0) > 0);
    unwatch();
    await a.close();
    await b.close();
  });

  test("count turns, the run queue and timers", async () => {
    const unwatch = watchMeters();
    await gosched();
    await sleep(1);
    const { scheduler, timers } = meters();
    assert.equal(scheduler.delay.count, 1);
    assert.ok(scheduler.turns > 0 && scheduler.busy >= 0);
    assert.equal(timers.lateness.count, 1);
    unwatch();
  });

  test("count requests of servers that run already, and of new ones", async () => {
    await using server = await serve("127.0.0.1:0", (request) => {
      return new Response("", { status: request.method === "POST" ? 404 : 200 });
    });
    const unwatch = watchMeters();
    const url = `http://${server.addr}/`;
    for (const method of ["GET", "GET", "POST", "PROPFIND"]) {
      await (await fetch(url, { method })).text();
    }
    while (meters().http.inFlight > 0) await turn();
    const { begun, answered, duration } = meters().http;
    assert.equal(begun, 4);
    assert.deepEqual(answered, [
      { method: "GET", status: "2xx", count: 2 },
      { method: "POST", status: "4xx", count: 1 },
      { method: "other", status: "2xx", count: 1 },
    ]);
    assert.equal(duration.GET?.count, 2);
    unwatch();
  });

  test("leave nothing in the observer's slots, and count anew afterwards", async () => {
    const first = watchMeters();
    const second = watchMeters();
    const chan = new Chan<number>();
    const g = go(() => chan.receive());
    await sleep(1);
    first();
    first();
    assert.equal(meters().waits["chan receive"]?.now, 1);
    second();
    assert.deepEqual(new Set(Object.values(observer)), new Set([null]));
    assert.throws(() => meters(), /watchMeters/);
    assert.throws(() => meterSeries(), /watchMeters/);
    const third = watchMeters();
    await chan.send(1);
    await g.join();
    assert.equal(meters().waits["chan receive"]?.now ?? 0, 0);
    third();
  });
});
