// What a server tells of its work: an access log, hooks and counters.
import assert from "node:assert/strict";
import { readFile, rename, stat, writeFile } from "node:fs/promises";
import { it, type TestContext } from "node:test";
import {
  AccessLog,
  type Handler,
  type LogFormat,
  Response,
  type ResponseRecord,
  type ServeOptions,
  type Server,
  serve,
  serveFiles,
} from "../src/http/index.ts";
import { socketFolder } from "../testing/conns.ts";
import { RawClient } from "../testing/http_client.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { until } from "./served.ts";

function test(name: string, body: (t: TestContext) => Promise<void>): void {
  it(name, (t) => withLeakCheck(t as TestContext, () => body(t as TestContext)));
}

const GET = "GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n";
const hello: Handler = () => new Response("hello");

async function start(
  handler: Handler,
  options: ServeOptions,
): Promise<AsyncDisposable & { server: Server; client: RawClient }> {
  const server = await serve("127.0.0.1:0", handler, { onError: () => {}, ...options });
  const client = await RawClient.to(server.addr);
  return {
    server,
    client,
    async [Symbol.asyncDispose]() {
      await client.conn.close();
      await server.close();
    },
  };
}

/** A sink that keeps what it is given, and may be held. */
class Sink {
  text = "";
  writes = 0;
  held: Promise<void> | undefined;
  failure: Error | undefined;

  async write(bytes: Uint8Array | string): Promise<number> {
    this.writes++;
    await this.held;
    if (this.failure !== undefined) throw this.failure;
    this.text += String(Buffer.from(bytes as Uint8Array));
    return bytes.length;
  }

  get lines(): string[] {
    return this.text.split("\n").slice(0, -1);
  }
}

test("each response is a line of the combined format, refused requests and upgrades too", async () => {
  const sink = new Sink();
  await using log = new AccessLog(sink);
  {
    await using s = await start(
      async (request, info) => {
        if (request.method === "POST") throw new Error("broken");
        if (!request.headers.has("upgrade")) return new Response("hello");
        await (await info.upgrade()).close();
        return undefined;
      },
      { accessLog: log },
    );
    await s.client.send(
      'GET /x"y HTTP/1.1\r\nHost: a\r\nReferer: http://b/\r\nUser-Agent: me\t"\xe9"\\\r\n\r\n',
    );
    await s.client.response();
    await s.client.send("HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    await s.client.response("HEAD");
    await s.client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    await s.client.response();
    await s.client.send("GET / HTTP/1.1\r\n\r\n");
    assert.equal((await s.client.response())?.status, 400);
    await using other = await RawClient.to(s.server.addr);
    await other.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    await other.rest();
  }
  const time = String.raw`\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]`;
  const expected = [
    String.raw`"GET /x\x22y HTTP/1.1" 200 5 "http://b/" "me\x09\x22\xE9\x22\x5C"`,
    '"HEAD / HTTP/1.0" 200 0 "-" "-"',
    '"POST / HTTP/1.1" 500 22 "-" "-"',
    '"-" 400 \\d+ "-" "-"',
    '"GET /ws HTTP/1.1" 101 0 "-" "-"',
  ];
  assert.equal(sink.lines.length, expected.length);
  for (const [i, line] of sink.lines.entries()) {
    const [, rest] = new RegExp(`^127\\.0\\.0\\.1 - - ${time} (.*)$`).exec(line) ?? [];
    if (i === 3) assert.match(rest ?? "", /^"-" 400 \d+ "-" "-"$/);
    else assert.equal(rest, expected[i]);
  }
  assert.equal(log.written, 5);
});

test("a record has everything about a response, and what its handler noted", async () => {
  const records: [string, number, number, boolean, unknown, string | null][] = [];
  const format: LogFormat = (r) => {
    assert.ok(r.duration >= 0 && r.time instanceof Date && r.bytesSent > r.bodyBytesSent);
    const { notes, requestId } = r;
    records.push([r.target, r.status, r.bodyBytesSent, r.complete, notes.upstream, requestId]);
    return r.target === "/quiet" ? undefined : r.target;
  };
  const sink = new Sink();
  await using log = new AccessLog(sink, { format });
  await using s = await start(
    (_, info) => {
      info.notes.upstream = 12;
      if (info.target !== "/broken") return new Response("x".repeat(100_000));
      async function* parts(): AsyncGenerator<string> {
        yield "some";
        throw new Error("no more");
      }
      return new Response(parts());
    },
    { accessLog: log },
  );
  await s.client.send("GET /quiet HTTP/1.1\r\nHost: a\r\nX-Request-ID: id-7\r\n\r\n");
  await s.client.response();
  await s.client.send("GET /broken HTTP/1.1\r\nHost: a\r\n\r\n");
  await assert.rejects(s.client.response());
  await until("both are told of", () => records.length === 2);
  assert.deepEqual(records, [
    ["/quiet", 200, 100_000, true, 12, "id-7"],
    // Framing counts: "4", "some", two line ends.
    ["/broken", 200, 9, false, 12, null],
  ]);
  await log.flush();
  assert.deepEqual(sink.lines, ["/broken"]);
});

test("lines are gathered, and written by size, by time and when asked", async () => {
  const sink = new Sink();
  await using log = new AccessLog(sink, { format: () => "x".repeat(99), bufferBytes: 1000 });
  await using s = await start(hello, { accessLog: log });
  await s.client.send(GET.repeat(25));
  for (let i = 0; i < 25; i++) await s.client.response();
  await until("two full buffers are written", () => sink.lines.length >= 20);
  assert.ok(sink.writes <= 3);
  await log.flush();
  assert.equal(sink.lines.length, 25);
  await using soon = new AccessLog(sink, { format: () => "soon", flushAfter: 5 });
  await using other = await start(hello, { accessLog: soon });
  await other.client.send(GET);
  await until("it is written by time", () => sink.text.endsWith("soon\n"));
});

test("a sink that stalls or fails costs lines, which are counted, and holds up no response", async (t) => {
  t.mock.method(console, "error", () => {});
  const sink = new Sink();
  let release = (): void => {};
  sink.held = new Promise((resolve) => {
    release = resolve;
  });
  const format = (): string => "x".repeat(99);
  await using log = new AccessLog(sink, { format, bufferBytes: 100, mostBytes: 1000 });
  await using s = await start(hello, { accessLog: log });
  const ask = async (n: number): Promise<void> => {
    await s.client.send(GET.repeat(n));
    for (let i = 0; i < n; i++) await s.client.response();
  };
  await ask(50);
  await until("all have been told", () => log.dropped === 40);
  release();
  await log.flush();
  assert.equal(sink.lines.length, 10);
  sink.failure = new Error("disk full");
  await ask(1);
  await until("it failed", () => log.dropped === 41);
  sink.failure = undefined;
  await ask(1);
  await log.flush();
  assert.equal(sink.lines.length, 11);
});

test("a file is appended to, opened anew when it was moved away, and flushed at the end", async () => {
  await using folder = await socketFolder();
  const path = folder.path("access.log");
  await writeFile(path, "before\n");
  const count = async (name: string): Promise<number> =>
    (await readFile(name, "utf8")).split("\n").length - 1;
  {
    await using s = await start(hello, { accessLog: path });
    await s.client.send(GET);
    await s.client.response();
    await s.client.conn.close();
    await s.server.shutdown();
  }
  assert.equal(await count(path), 2);

  const listeners = process.listenerCount("SIGHUP");
  const log = new AccessLog(path, { reopenOn: "SIGHUP" });
  await using s = await start(hello, { accessLog: log });
  const one = async (): Promise<void> => {
    await s.client.send(GET);
    await s.client.response();
    await log.flush();
  };
  await one();
  await rename(path, `${path}.1`);
  await one();
  assert.equal(await count(`${path}.1`), 4);
  log.reopen();
  await one();
  assert.equal(await count(path), 1);
  await rename(path, `${path}.2`);
  process.kill(process.pid, "SIGHUP");
  await until("there is a new file", () =>
    stat(path).then(
      () => true,
      () => false,
    ),
  );
  await one();
  assert.equal(await count(path), 1);
  await log.close();
  assert.equal(process.listenerCount("SIGHUP"), listeners);
  await assert.rejects(serve("127.0.0.1:0", hello, { accessLog: folder.path("no/such") }), {
    code: "ENOENT",
  });
});

test("hooks are told of connections, requests, responses, refusals and upgrades", async (t) => {
  const errors = t.mock.method(console, "error", () => {});
  const told: string[] = [];
  const say = (text: string): void => void told.push(text);
  await using s = await start(
    async (request, info) => {
      if (request.headers.has("upgrade")) {
        await (await info.upgrade()).close();
        return undefined;
      }
      return new Response(await request.text());
    },
    {
      limits: { body: 10 },
      hooks: {
        connectionOpened: () => say("opened"),
        connectionClosed: () => say("closed"),
        requestBegun: (request, info) => say(`begun ${request.method} ${info.target}`),
        responseSent: ({ status, bodyBytesSent }: ResponseRecord) => {
          say(`sent ${status} ${bodyBytesSent}`);
          throw new Error("a hook that fails changes nothing");
        },
        refused: (status) => say(`refused ${status}`),
        upgraded: (request) => say(`upgraded ${request.headers.get("upgrade")}`),
      },
    },
  );
  await s.client.send("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
  assert.equal((await s.client.response())?.body, "hi");
  await s.client.send("POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  await until("the handler runs", () => told.includes("begun POST /2"));
  await s.client.send("14\r\n01234567890123456789\r\n0\r\n\r\n");
  assert.equal((await s.client.response())?.status, 413);
  await s.client.rest();
  await until("it is closed", () => s.server.stats.live === 0);
  await using bad = await RawClient.to(s.server.addr);
  await bad.send("GET / HTTP/1.1\r\n\r\n");
  assert.equal((await bad.response())?.status, 400);
  await bad.conn.close();
  await until("it is closed", () => told.filter((each) => each === "closed").length === 2);
  await using up = await RawClient.to(s.server.addr);
  await up.send("GET /3 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
  await up.rest();
  await until("it is closed", () => told.at(-1)?.startsWith("upgraded") === true);
  assert.deepEqual(
    told.map((each) => each.replace(/^(sent 413) \d+/, "$1")),
    [
      "opened",
      "begun POST /1",
      "sent 200 2",
      "begun POST /2",
      "refused 413",
      "sent 413",
      "closed",
      "opened",
      "refused 400",
      "closed",
      "opened",
      "begun GET /3",
      "closed",
      "upgraded x",
    ],
  );
  assert.equal(errors.mock.callCount(), 2);
  const { accepted, live, requests, refused, upgraded } = s.server.stats;
  assert.deepEqual(
    { accepted, live, requests, refused, upgraded },
    {
      accepted: 3,
      live: 0,
      requests: 3,
      refused: { 400: 1, 413: 1 },
      upgraded: 1,
    },
  );
});

test("counters are right, with files and without anybody who is told", async () => {
  await using folder = await socketFolder();
  await writeFile(folder.path("file"), Buffer.alloc(1_000_000));
  await using s = await start(serveFiles(folder.path(".")), {});
  const request = "GET /file HTTP/1.1\r\nHost: a\r\n\r\n";
  let received = 0;
  for (let i = 0; i < 3; i++) {
    await s.client.send(request);
    received += (await s.client.response())?.body.length ?? 0;
  }
  const before = s.server.stats;
  assert.equal(before.live, 1);
  assert.equal(before.bytesIn, 3 * request.length);
  assert.ok(before.bytesOut > received && before.bytesOut < received + 3 * 400);
  await s.client.conn.close();
  await until("it has left", () => s.server.stats.live === 0);
  assert.equal(s.server.stats.bytesOut, before.bytesOut);
});
