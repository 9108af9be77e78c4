/** metrics.test.ts: what Prometheus reads: names, units, labels, of all threads and workers. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { Worker } from "node:worker_threads";
import client from "prom-client";
import { gatherMeters, metrics } from "../src/debug/index.ts";
import { fetch, Response, serve } from "../src/http/index.ts";
import { Chan, dial, go, Mutex, sleep, stats } from "../src/index.ts";
import { Child, programPath, run } from "./child.ts";
import { ask, until } from "./served.ts";

const promtool = spawnSync("promtool", ["--version"]).error;
const noPromtool = promtool === undefined ? false : `promtool cannot be run: ${promtool.message}`;

/** The value of a line; undefined when there is none like it. */
function lineOf(text: string, line: string): number | undefined {
  const found = text.split("\n").find((each) => each.startsWith(`${line} `));
  return found === undefined ? undefined : Number(found.slice(line.length + 1));
}

/** A page of everything there is to see. */
async function busyPage(t: TestContext): Promise<string> {
  const registry = new client.Registry();
  const exported = await metrics({ registry });
  t.after(() => exported.stop());
  await using server = await serve("127.0.0.1:0", async (request) => {
    if (request.url.endsWith("/metrics")) return await exported.handler();
    return new Response("", { status: request.url.endsWith("/no") ? 404 : 200 });
  });
  const url = `http://${server.addr}`;
  for (const path of ["/", "/", "/no"]) await (await fetch(url + path)).text();
  const chan = new Chan<number>();
  const receiver = go(() => chan.receive());
  const mutex = new Mutex();
  const held = await mutex.lock();
  const locker = go(async () => {
    using _ = await mutex.lock();
  });
  await sleep(2);
  held[Symbol.dispose]();
  await locker.join();
  const response = await fetch(`${url}/metrics`);
  assert.match(response.headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/);
  const text = await response.text();
  await chan.send(1);
  await receiver.join();
  return text;
}

describe("metrics", () => {
  test("are what happened", async (t) => {
    const text = await busyPage(t);
    const at = (line: string) => lineOf(text, `coronet_${line}`);
    assert.equal(at('http_requests_total{thread="0",method="GET",status="2xx"}'), 2);
    assert.equal(at('http_requests_total{thread="0",method="GET",status="4xx"}'), 1);
    assert.equal(at('http_requests_in_flight{thread="0"}'), 1);
    assert.equal(at('http_request_duration_seconds_count{thread="0",method="GET"}'), 3);
    assert.equal(at('accepted_connections_total{thread="0",network="tcp"}'), 1);
    assert.equal(at('connections{thread="0",network="tcp"}'), 2);
    assert.equal(at('listeners{thread="0"}'), 1);
    assert.equal(at('waits{thread="0",kind="chan receive"}'), 1);
    assert.equal(at('wait_seconds_count{thread="0",kind="mutex lock"}'), 1);
    const sum = at('wait_seconds_sum{thread="0",kind="mutex lock"}') ?? 0;
    assert.ok(sum > 0 && sum < 10, String(sum));
    assert.equal(at('wait_seconds_bucket{thread="0",kind="mutex lock",le="+Inf"}'), 1);
    assert.equal(at('goroutines_started_total{thread="0"}'), stats().goroutines.started);
    assert.ok((at('thread_busy_seconds_total{thread="0"}') ?? 0) > 0);
    const pool = /^coronet_pool_connections\{thread="0",pool="(.*)",state="used"\} 1$/m.exec(text);
    assert.match(pool?.[1] ?? "", /127\.0\.0\.1/);
    assert.equal(
      at(`pool_connects_total{thread="0",pool="${pool?.[1]}",result="reused"}`),
      3,
      text,
    );
  });

  test("pass promtool's check", { skip: noPromtool }, async (t) => {
    const input = await busyPage(t);
    const args = ["check", "metrics"];
    const { status, stdout, stderr } = spawnSync("promtool", args, { input, encoding: "utf8" });
    assert.deepEqual([status, stdout, stderr], [0, "", ""]);
  });

  test("have a prefix of the caller's, and go when they are stopped", async () => {
    const registry = new client.Registry();
    const first = await metrics({ registry, prefix: "app_coronet_" });
    assert.match(await registry.metrics(), /^app_coronet_listeners\{thread="0"\} \d+$/m);
    const second = await metrics({ registry: new client.Registry() });
    await assert.rejects(metrics({ registry, prefix: "app_coronet_" }), /already.*registered/);
    first.stop();
    assert.equal((await registry.metrics()).trim(), "");
    assert.equal((await gatherMeters()).length, 1, "the second still keeps them");
    second.stop();
    await assert.rejects(gatherMeters(), /shareMeters/);
    await assert.rejects(metrics({ registry, prefix: "1" }), TypeError);
  });

  test("stand beside others in prom-client's own registry by default", async () => {
    using exported = await metrics();
    assert.equal(exported.registry, client.register);
    const own = new client.Counter({ name: "orders_total", help: "Orders." });
    own.inc(3);
    const text = await (await exported.handler()).text();
    assert.equal(lineOf(text, "orders_total"), 3);
    client.register.removeSingleMetric("orders_total");
  });

  test("can be aggregated by prom-client as others can", async () => {
    const registry = new client.Registry();
    using _ = await metrics({ registry });
    const json = await registry.getMetricsAsJSON();
    const both = client.AggregatorRegistry.aggregate([json, json] as never);
    const text = await both.metrics();
    assert.match(text, /^coronet_goroutines\{.*state="runnable"\} \d+$/m);
  });

  test("are those of every thread that was started since", async () => {
    const registry = new client.Registry();
    using _ = await metrics({ registry });
    const thread = new Worker(programPath("metrics_thread"));
    const id = thread.threadId;
    await new Promise((resolve) => thread.once("message", resolve));
    await until("it tells of itself", async () => (await gatherMeters()).length === 2);
    const text = await registry.metrics();
    assert.equal(lineOf(text, `coronet_goroutines_started_total{thread="${id}"}`), 0);
    assert.ok(lineOf(text, 'coronet_goroutines_started_total{thread="0"}') !== undefined);
    assert.equal(
      lineOf(text, `coronet_network_bytes_total{thread="${id}",network="pipe",direction="in"}`),
      4,
    );
    const ended = new Promise((resolve) => thread.once("exit", resolve));
    thread.postMessage("end");
    assert.equal(await ended, 0);
    await until("it is gone", async () => (await gatherMeters()).length === 1);
  });

  test("are those of a server's worker processes, under their place", async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "coronet-metrics-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    await using program = new Child("metrics_server", [], {
      env: { CORONET_DEBUG: "1", CORONET_DEBUG_DIR: folder },
    });
    const [addr = "", page = ""] = (await program.line()).split(" ");
    await using conn = await dial("tcp", addr);
    await ask(conn, "id");
    let text = "";
    await until("both workers tell", async () => {
      text = await (await fetch(`http://${page}/`)).text();
      const workers = text.match(/^coronet_goroutines_peak\{worker="\d",thread="0"\} \d+$/gm);
      return workers?.length === 2;
    });
    const opened = [0, 1].map((i) => {
      const line = `coronet_opened_connections_total{worker="${i}",thread="0",network="tcp"}`;
      return lineOf(text, line) ?? 0;
    });
    assert.deepEqual(opened.sort(), [0, 1]);
    program.process.stdin.end();
    assert.equal((await program.ended).status, 0);
  });

  test("say what is missing without prom-client", async () => {
    const { status, stdout, stderr } = await run("metrics_alone");
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^metrics: the package prom-client is not installed: npm install/);
    assert.match(stdout, /own registry: \d+ metrics/);
  });
});
