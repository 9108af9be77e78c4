/** inspector_threads.test.ts: what the inspector shows of another thread than the one that serves its page. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { Profile } from "pprof-format";
import { traceProblems } from "../testing/trace_format.ts";
import { Child } from "./child.ts";
import { until } from "./served.ts";

interface Part {
  pid: number;
  thread: number;
  goroutines: number;
  turns: number;
  pollBatch: number[];
  queueBatch: number[];
  lateness: number[];
  states: Record<string, number>;
}

describe("another thread, in the inspector", { timeout: 60_000 }, () => {
  let child: Child;
  let base: string;
  let token: string;
  let folder: string;
  /** "PID.THREAD" of the other thread. */
  let other: string;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "coronet-inspector-"));
    child = new Child("inspected", [], { env: { CORONET_DEBUG_DIR: folder }, timeout: 60_000 });
    const { origin, hash } = new URL(await child.line());
    [base, token] = [`${origin}/api`, hash.slice("#token=".length)];
    other = await firstOther();
  });

  after(async () => {
    await child?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  function ask(path: string, body?: object): Promise<Response> {
    const authorization = `Bearer ${token}`;
    if (body === undefined) return fetch(`${base}/${path}`, { headers: { authorization } });
    const headers = { authorization, "content-type": "application/json" };
    return fetch(`${base}/${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  }

  /** What comes to somebody who looks, until some thread's part of a tick is as wanted. */
  async function partOf(wanted: (part: Part) => boolean): Promise<Part> {
    const response = await ask("live");
    let text = "";
    for await (const part of (response.body as ReadableStream).pipeThrough(
      new TextDecoderStream() as never,
    )) {
      text += part;
      const events = text.split("\n\n");
      text = events.pop() as string;
      for (const event of events) {
        if (!event.startsWith("event: tick")) continue;
        const { threads } = JSON.parse(event.slice(event.indexOf("{"))) as { threads: Part[] };
        const found = threads.slice(1).find(wanted);
        if (found !== undefined) return found;
      }
    }
    throw new Error("the events have ended");
  }

  async function firstOther(): Promise<string> {
    const { pid, thread } = await partOf(() => true);
    return `${pid}.${thread}`;
  }

  /** Names of functions and files in a profile. */
  async function profiled(kind: string, thread: string): Promise<string> {
    const response = await ask(`profile?kind=${kind}&seconds=1&thread=${thread}`);
    assert.equal(response.status, 200);
    const name = String(response.headers.get("content-disposition"));
    assert.ok(name.includes(`${kind}-${thread}.pprof`), name);
    const bytes = Buffer.from(await response.arrayBuffer());
    return Profile.decode(gunzipSync(bytes)).stringTable.strings.join(" ");
  }

  test("its poller, timers and goroutines come with every tick", async () => {
    const part = await partOf(({ turns, states, lateness }) => {
      return turns > 0 && (states.sleep ?? 0) > 0 && lateness.length > 0;
    });
    assert.equal(`${part.pid}.${part.thread}`, other);
    const woken = [...part.pollBatch, ...part.queueBatch];
    assert.ok(woken.length > 0 && woken.length % 2 === 0);
    assert.equal(part.goroutines, 2, "talker and listener, nothing of the main thread's");
  });

  test("a trace is recorded there, and there alone", async () => {
    const about = async (query: string): Promise<boolean> =>
      ((await (await ask(`about${query}`)).json()) as { tracing: boolean }).tracing;
    const at = `?thread=${other}`;
    assert.deepEqual(await Promise.all([about(""), about(at)]), [false, false]);
    const none = await ask(`trace${at}`);
    assert.deepEqual(
      [none.status, await none.json()],
      [409, { error: "nothing is being recorded" }],
    );
    assert.equal((await ask(`trace${at}`, { record: true })).status, 200);
    assert.deepEqual(await Promise.all([about(""), about(at)]), [false, true]);
    let text = "";
    await until("it has recorded sleeps", async () => {
      text = await (await ask(`trace${at}`)).text();
      return text.split('"sleep"').length > 5;
    });
    assert.deepEqual(traceProblems(text), []);
    assert.match(text, /"talker"|goroutine \d+ talker/);
    assert.doesNotMatch(text, /acceptLoop|busyClient/);
    assert.equal((await ask(`trace${at}`, { record: false })).status, 200);
    assert.deepEqual(await Promise.all([about(""), about(at)]), [false, false]);
  });

  test("its profiles are its own", async () => {
    const [cpu, heap] = await Promise.all([profiled("cpu", other), profiled("heap", other)]);
    assert.match(cpu, /samples .*cpu/);
    assert.match(heap, /inuse_space|inuse_objects/);
    const goroutines = await profiled("goroutine", other);
    assert.match(goroutines, /inspected_thread/);
    assert.doesNotMatch(goroutines, /acceptLoop|busyClient/);
  });

  test("a dump is of its goroutines", async () => {
    const text = await (await ask(`dump?thread=${other}`)).text();
    assert.match(text, /talker/);
    assert.doesNotMatch(text, /acceptLoop/);
  });

  test("who leaves ends the profile that was asked for", async () => {
    const leave = new AbortController();
    const headers = { authorization: `Bearer ${token}` };
    const url = `${base}/profile?kind=cpu&seconds=60&thread=${other}`;
    const asked = fetch(url, { headers, signal: leave.signal });
    const rejected = assert.rejects(asked, { name: "AbortError" });
    await (await ask("own")).json();
    leave.abort();
    await rejected;
    // V8 takes one CPU profile at a time: this one would be refused.
    await until("another one is taken", async () => {
      const response = await ask(`profile?kind=cpu&seconds=1&thread=${other}`);
      return response.status === 200;
    });
  });

  test("threads of a program that has a page by CORONET_INSPECT alone can be chosen", async (t) => {
    const place = mkdtempSync(join(tmpdir(), "coronet-inspector-"));
    t.after(() => rmSync(place, { recursive: true, force: true }));
    const env = { CORONET_INSPECT: "127.0.0.1:0", CORONET_DEBUG_DIR: place };
    await using program = new Child("debugging", [], { env });
    await program.line();
    const { pid } = program.process;
    await until("both threads have a socket", () => readdirSync(place).length === 2);
    assert.ok(readdirSync(place).includes(`${pid}.1.sock`), String(readdirSync(place)));
  });

  test("what is wrong is said as by the thread that serves the page", async () => {
    const status = async (path: string): Promise<number> => (await ask(path)).status;
    assert.equal(await status(`goroutines?thread=${other}0000`), 404);
    assert.equal(await status(`live?thread=${other}`), 404);
    assert.equal(await status(`profile?kind=toString&thread=${other}`), 400);
    assert.equal(await status(`goroutine?id=999999999&thread=${other}`), 404);
  });
});
