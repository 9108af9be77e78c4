/** inspector.test.ts: what the inspector answers, to whom, and that nobody else notices it. */
import assert from "node:assert/strict";
import { request as ask } from "node:http";
import { connect } from "node:net";
import { describe, type TestContext, test } from "node:test";
import { type Inspector, inspect, meterSeries, meters, watchMeters } from "../src/debug/index.ts";
import { Chan, type Conn, dial, go, listen } from "../src/index.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { traceProblems } from "../testing/trace_format.ts";
import { Child, run } from "./child.ts";
import { until } from "./served.ts";

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}

interface Asked {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
}

/** Asks as a client that may lie about Host and Origin. */
function raw(inspector: Inspector, path: string, asked: Asked = {}): Promise<Answer> {
  const { method = "GET", headers = {}, body } = asked;
  const { hostname, port } = new URL(inspector.url);
  return new Promise((resolve, reject) => {
    const sent = ask({ hostname, port, path, method, headers, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        text += part;
      });
      response.on("end", () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text });
      });
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

const JSON_TYPE = { "content-type": "application/json" };

function bearer({ token }: Inspector): Record<string, string> {
  return { authorization: `Bearer ${token}` };
}

async function get(inspector: Inspector, path: string): Promise<Record<string, unknown>> {
  const { status, body } = await raw(inspector, `/api/${path}`, { headers: bearer(inspector) });
  assert.equal(status, 200, body);
  return JSON.parse(body) as Record<string, unknown>;
}

async function post(inspector: Inspector, path: string, body: unknown): Promise<Answer> {
  const headers = { ...bearer(inspector), ...JSON_TYPE };
  return await raw(inspector, `/api/${path}`, {
    method: "POST",
    headers,
    body: JSON.stringify(body),
  });
}

interface Row {
  id: number;
  name: string;
  kind: string;
  remote: string;
  in: number;
  type: string;
  count: number;
  stack: string[];
}

async function rows(inspector: Inspector, path: string): Promise<Row[]> {
  return (await get(inspector, path)).rows as Row[];
}

/** What comes to somebody who looks, until it has something. */
async function liveUntil(inspector: Inspector, wanted: RegExp): Promise<string> {
  const { hostname, port } = new URL(inspector.url);
  const socket = connect(Number(port), hostname);
  let text = "";
  socket.setEncoding("utf8").on("data", (part: string) => {
    text += part;
  });
  socket.write(
    `GET /api/live HTTP/1.1\r\nHost: ${hostname}\r\nAuthorization: Bearer ${inspector.token}\r\n\r\n`,
  );
  await until(`${wanted} came`, () => wanted.test(text));
  socket.destroy();
  return text;
}

/** An echo server, and a client that has had an answer of 5 bytes. */
async function echoing(t: TestContext): Promise<{ client: Conn }> {
  const listener = await listen("tcp", "127.0.0.1:0");
  go(async function acceptLoop() {
    for await (const conn of listener) {
      go(async function echo() {
        await using _ = conn;
        for await (const chunk of conn) await conn.write(chunk);
      });
    }
  });
  const client = await dial("tcp", String(listener.addr));
  await client.write("hello");
  await client.read(new Uint8Array(16));
  t.after(async () => {
    await client.close();
    await listener.close();
  });
  return { client };
}

describe("who may ask", () => {
  test("without the token there is nothing but the page that asks for it", async () => {
    await using inspector = await inspect();
    for (const path of ["/api/about", "/api/live", "/api/conns", "/app.js", "/page.css", "/x"]) {
      assert.equal((await raw(inspector, path)).status, 401, path);
    }
    const page = await raw(inspector, "/");
    assert.match(page.body, /<label for="token">/);
    assert.match(String(page.headers["content-security-policy"]), /script-src 'self'/);
    assert.doesNotMatch(String(page.headers["content-security-policy"]), /unsafe/);
    assert.equal(page.headers["cache-control"], "no-store");
    const named = await raw(inspector, "/?token=x", { headers: bearer(inspector) });
    assert.match(named.body, /app\.js/);
  });

  test("a wrong token is refused, the right one gives a cookie that scripts cannot read", async () => {
    await using inspector = await inspect();
    const login = (token: string): Promise<Answer> =>
      raw(inspector, "/api/login", {
        method: "POST",
        headers: JSON_TYPE,
        body: JSON.stringify({ token }),
      });
    assert.equal((await login("wrong")).status, 401);
    assert.equal((await login(`${inspector.token}x`)).status, 401);
    const { status, headers } = await login(inspector.token);
    assert.equal(status, 200);
    const [cookie = ""] = headers["set-cookie"] as string[];
    assert.match(cookie, /; HttpOnly; SameSite=Strict$/);
    const sent = { cookie: `a=b; ${cookie.split(";")[0]}` };
    assert.equal((await raw(inspector, "/api/about", { headers: sent })).status, 200);
    const wrong = { authorization: "Bearer wrong" };
    assert.equal((await raw(inspector, "/api/about", { headers: wrong })).status, 401);
  });

  test("other hosts, other origins and other sites are refused, token or not", async () => {
    await using inspector = await inspect();
    const status = async (headers: Record<string, string>, path = "/api/about"): Promise<number> =>
      (await raw(inspector, path, { headers: { ...bearer(inspector), ...headers } })).status;
    const port = new URL(inspector.url).port;
    assert.equal(await status({ host: `evil.example:${port}` }), 421);
    assert.equal(await status({ host: `127.0.0.1.evil.example:${port}` }), 421);
    assert.equal(await status({ host: "evil.example" }, "/"), 421);
    assert.equal(await status({ host: `localhost:${port}` }), 200);
    assert.equal(await status({ host: `[::1]:${port}` }), 200);
    assert.equal(await status({ origin: "http://evil.example" }), 403);
    assert.equal(await status({ origin: "null" }), 403);
    assert.equal(await status({ origin: `http://127.0.0.1:1` }), 403);
    assert.equal(await status({ origin: `https://127.0.0.1:${port}` }), 403);
    assert.equal(await status({ origin: `http://127.0.0.1:${port}` }), 200);
    assert.equal(await status({ "sec-fetch-site": "same-site" }), 403);
    assert.equal(await status({ "sec-fetch-site": "cross-site" }), 403);
    assert.equal(await status({ "sec-fetch-site": "same-origin" }), 200);
  });

  test("a token that could be guessed is not taken", async () => {
    await assert.rejects(inspect({ token: "short" }), /at least 16/);
    await assert.rejects(inspect({ token: "with spaces in the middle" }), TypeError);
  });
});

describe("what it answers", () => {
  test("goroutines: filtered, sorted, grouped, each with where it waits", async (t) => {
    await using inspector = await inspect();
    await echoing(t);
    const ch = new Chan<number>();
    for (let i = 0; i < 5; i++) {
      go(async function waiter() {
        await ch.receive();
      });
    }
    await Promise.resolve();
    const waiting = await rows(inspector, "goroutines?filter=name:waiter&sort=id&desc=1");
    assert.equal(waiting.length, 5);
    assert.ok((waiting[0]?.id ?? 0) > (waiting[4]?.id ?? 0));
    assert.match(String(waiting[0]?.stack[0]), /waiter .*inspector\.test/);
    const part = await get(inspector, "goroutines?filter=name:waiter&offset=3&limit=10");
    assert.deepEqual([part.matched, part.offset, (part.rows as Row[]).length], [5, 3, 2]);
    const groups = await rows(inspector, "goroutines?group=1");
    assert.equal(groups.find(({ name }) => name === "waiter")?.count, 5);
    assert.deepEqual(await rows(inspector, "goroutines?filter=name:waiter%20-kind:receive"), []);
    const detail = await get(inspector, `goroutine?id=${waiting[0]?.id}`);
    const [wait] = detail.waits as { kind: string; stack: { source?: { lines: string[] } }[] }[];
    assert.equal(wait?.kind, "chan receive");
    assert.match(String(wait?.stack[0]?.source?.lines.join("\n")), /await ch\.receive\(\)/);
    for (let i = 0; i < 5; i++) await ch.send(i);
  });

  test("the inspector's own goroutines and connections are hidden unless asked for", async (t) => {
    await using inspector = await inspect();
    await echoing(t);
    const names = (await rows(inspector, "goroutines")).map(({ name }) => name);
    assert.deepEqual(names.sort(), ["acceptLoop", "echo"]);
    const all = (await rows(inspector, "goroutines?own=1")).map(({ name }) => name);
    assert.ok(all.includes("acceptConnections") && all.includes("serveConnection"), String(all));
    assert.equal((await rows(inspector, "conns")).length, 3);
    assert.ok((await rows(inspector, "conns?own=1")).length > 3);
  });

  test("connections: addresses, bytes, who waits; closing one", async (t) => {
    await using inspector = await inspect();
    const { client } = await echoing(t);
    const remote = String(client.remoteAddr);
    const [row] = await rows(inspector, `conns?filter=remote:${remote}`);
    assert.equal(row?.in, 5);
    const reading = assert.rejects(client.read(new Uint8Array(1)), { code: "ERR_CLOSED" });
    assert.equal((await post(inspector, "close", { id: row?.id })).status, 200);
    await reading;
    assert.equal((await post(inspector, "close", { id: row?.id })).status, 404);
    assert.equal((await post(inspector, "close", { id: "1" })).status, 404);
    const [own] = await rows(inspector, "conns?own=1&filter=type:listener&sort=id");
    assert.equal((await post(inspector, "close", { id: own?.id })).status, 404, "not its own");
    const headers = { ...bearer(inspector), "content-type": "text/plain" };
    const plain = await raw(inspector, "/api/close", { method: "POST", headers, body: "{}" });
    assert.equal(plain.status, 415);
    assert.equal((await raw(inspector, "/api/close", { headers: bearer(inspector) })).status, 404);
  });

  test("a trace, a profile, the dump, the reports", async () => {
    await using inspector = await inspect();
    assert.equal((await raw(inspector, "/api/trace", { headers: bearer(inspector) })).status, 409);
    assert.equal((await post(inspector, "trace", { record: true })).status, 200);
    await go(async function traced() {}).join();
    const { body } = await raw(inspector, "/api/trace", { headers: bearer(inspector) });
    assert.deepEqual(traceProblems(body), []);
    assert.match(body, /traced/);
    await post(inspector, "trace", { record: false });
    const profile = await raw(inspector, "/api/profile?kind=goroutine", {
      headers: bearer(inspector),
    });
    assert.match(String(profile.headers["content-disposition"]), /goroutine-\d+\.pprof/);
    const wrong = await raw(inspector, "/api/profile?kind=toString", {
      headers: bearer(inspector),
    });
    assert.equal(wrong.status, 400);
    const dump = await raw(inspector, "/api/dump", { headers: bearer(inspector) });
    assert.match(dump.body, /^0 goroutines of process/);
    assert.deepEqual((await get(inspector, "reports")).lockups, []);
  });

  test("ticks come while somebody listens", async () => {
    await using inspector = await inspect();
    const text = await liveUntil(inspector, /event: tick[\s\S]*event: tick/);
    assert.match(text, /"states":\{"io":/);
  });

  test("who comes late gets the seconds that the meters have", async (t) => {
    const unwatch = watchMeters();
    t.after(unwatch);
    await echoing(t);
    const sum = (values: number[]): number => values.reduce((all, value) => all + value, 0);
    const moved = (): number => sum(meterSeries().columns.bytesIn);
    await until("a second with the bytes is over", () => moved() > 0);
    await using inspector = await inspect();
    const text = await liveUntil(inspector, /event: history\ndata: .*\n/);
    const ticks = JSON.parse(/event: history\ndata: (.*)\n/.exec(text)?.[1] as string) as {
      time: number;
      threads: {
        read: number;
        goroutines: number;
        open: number;
        states: Record<string, number>;
      }[];
    }[];
    const tick = ticks.find(({ threads }) => (threads[0]?.read ?? 0) > 0);
    assert.ok(tick !== undefined && ticks.indexOf(tick) < ticks.length - 1, text);
    assert.equal(tick.threads[0]?.goroutines, 2);
    assert.equal(tick.threads[0]?.open, 3);
    assert.equal(tick.threads[0]?.states.io, 2);
    assert.equal(ticks.at(-1)?.threads[0]?.goroutines, 2, "its own are not counted");
  });

  test("its own are not in the meters: goroutines, connections, requests", async (t) => {
    t.after(watchMeters());
    await until("others have ended", () => meters().goroutines.live === 0);
    const { open } = meters().poller;
    await using inspector = await inspect();
    await rows(inspector, "conns");
    const { goroutines, poller, http } = meters();
    assert.equal(http.begun, 0);
    assert.equal(http.connections, 0);
    assert.equal(goroutines.live, 0);
    assert.equal(poller.open, open);
  });

  test("what was open before it came is there, with who waits", async (t) => {
    const { client } = await echoing(t);
    await using inspector = await inspect();
    const found = await rows(inspector, "conns");
    const server = found.find(({ remote }) => remote === String(client.localAddr));
    assert.equal(server?.type, "conn");
    assert.deepEqual(
      [server?.in, (server as unknown as { age?: number }).age],
      [0, undefined],
      "what was before nobody knows",
    );
  });

  test("it leaves nothing behind", async (t) => {
    await withLeakCheck(t, async () => {
      const inspector = await inspect();
      await get(inspector, "goroutines");
      await inspector.close();
      await inspector.close();
    });
  });
});

describe("nobody notices it", () => {
  const env = { CORONET_INSPECT: "127.0.0.1:0" };

  test("a program ends as if it were not there", async () => {
    const { status, stderr } = await run("inspected_end", ["work"], { env });
    assert.match(stderr, /the inspector is at http:\/\/127\.0\.0\.1:\d+\/#token=/);
    assert.equal(status, 0);
  });

  test("a deadlock is reported with it, also while a page is open", async () => {
    const alone = await run("inspected_end", ["deadlock"], { env });
    assert.equal(alone.status, 2, alone.stderr);
    assert.match(alone.stderr, /all goroutines are asleep - deadlock!/);
    assert.doesNotMatch(alone.stderr, /acceptConnections/);
    const child = new Child("inspected_end", ["deadlock", "later"], { env });
    let stderr = "";
    child.process.stderr.on("data", (part: string) => {
      stderr += part;
    });
    await until("it says where", () => stderr.includes("#token="));
    const { port, hash } = new URL(/http:\S+/.exec(stderr)?.[0] as string);
    const socket = connect(Number(port), "127.0.0.1");
    socket.on("error", () => {});
    socket.write(
      `GET /api/live HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${hash.slice(7)}\r\n\r\n`,
    );
    await new Promise((resolve) => socket.once("data", resolve));
    child.say("now");
    const { status } = await child.ended;
    socket.destroy();
    assert.equal(status, 2, stderr);
    assert.match(stderr, /all goroutines are asleep - deadlock!/);
  });
});
