/** http2.test.ts: HTTP/2 over TLS: the handler of HTTP/1.1, asked by clients of node:http2. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import type { TLSSocket } from "node:tls";
import {
  eventStream,
  type Handler,
  type Limits,
  Response,
  reverseProxy,
  type ServeOptions,
  type Server,
  serve,
  serveFiles,
  upgradeWebSocket,
} from "../src/http/index.ts";
import { closeIdle, sleep, type TCPAddr } from "../src/index.ts";
import { selfSigned } from "../testing/certificates.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { seeded } from "../testing/support.ts";
import { until } from "./served.ts";

const { cert, key } = selfSigned("localhost", "127.0.0.1");
const ROUNDS = Number(process.env.CORONET_FUZZ ?? 30);

function checked(name: string, body: (t: TestContext) => Promise<void>): void {
  it(name, (t) => withLeakCheck(t as TestContext, () => body(t as TestContext)));
}

/** A server, and a session with it. */
class Served implements AsyncDisposable {
  readonly server: Server;
  readonly session: ClientHttp2Session;

  constructor(server: Server) {
    this.server = server;
    this.session = connect(`https://localhost:${(server.addr as TCPAddr).port}`, {
      ca: cert,
      maxSessionMemory: 100,
    });
    this.session.on("error", () => {});
  }

  request(headers: OutgoingHttpHeaders, options = {}): ClientHttp2Stream {
    const stream = this.session.request(headers, options);
    stream.on("error", () => {});
    return stream;
  }

  async ask(
    headers: OutgoingHttpHeaders,
    body?: string | Uint8Array,
  ): Promise<{ headers: IncomingHttpHeaders; body: Buffer }> {
    const stream = this.session.request(headers);
    if (body === undefined) stream.end();
    else stream.end(body);
    const [[answer], bytes] = await Promise.all([once(stream, "response"), collect(stream)]);
    return { headers: answer as IncomingHttpHeaders, body: bytes };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.session.destroy();
    await this.server.shutdown();
  }
}

async function collect(stream: ClientHttp2Stream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function served(handler: Handler, options: ServeOptions = {}): Promise<Served> {
  const tls = { cert, key };
  return new Served(await serve("127.0.0.1:0", handler, { tls, ...options }));
}

function limited(limits: Limits, handler: Handler): Promise<Served> {
  return served(handler, { limits });
}

describe("HTTP/2", () => {
  checked("comes to the handler as HTTP/1.1 does", async () => {
    await using to = await served(async (request, info) => {
      const { headers, method, url } = request;
      const told = [...headers];
      return Response.json(
        { method, url, told, target: info.target, body: await request.text() },
        { headers: { connection: "close", "keep-alive": "x", "x-a": "b" } },
      );
    });
    const { headers, body } = await to.ask(
      { ":path": "/a?b", ":method": "POST", cookie: ["a=1", "b=2"], "x-y": "grüße" },
      "hello",
    );
    const host = `localhost:${(to.server.addr as TCPAddr).port}`;
    const { told, ...rest } = JSON.parse(String(body));
    assert.deepEqual(rest, {
      method: "POST",
      url: `https://${host}/a?b`,
      target: "/a?b",
      body: "hello",
    });
    assert.deepEqual(
      told.filter(([name]: string[]) => name !== "content-length"),
      [
        ["cookie", "a=1; b=2"],
        ["host", host],
        ["x-y", "grüße"],
      ],
    );
    assert.equal(headers[":status"], 200);
    assert.equal(headers["content-type"], "application/json");
    assert.equal(headers["content-length"], String(body.length));
    assert.equal(headers["x-a"], "b");
    assert.equal(headers.connection ?? headers["keep-alive"], undefined);
    assert.ok(headers.date);
  });

  checked("answers HEAD, 204 and several cookies", async () => {
    await using to = await served((_, info) => {
      if (info.target === "/204") return new Response(null, { status: 204 });
      const headers = new Headers({ "x-a": "1" });
      headers.append("set-cookie", "a=1");
      headers.append("set-cookie", "b=2");
      return new Response("body", { headers });
    });
    const head = await to.ask({ ":method": "HEAD" });
    assert.deepEqual([head.headers["content-length"], head.body.length], ["4", 0]);
    assert.deepEqual(head.headers["set-cookie"], ["a=1", "b=2"]);
    const none = await to.ask({ ":path": "/204" });
    assert.deepEqual([none.headers[":status"], none.body.length], [204, 0]);
  });

  checked("gives trailers and an empty body, whenever they come and are asked for", async () => {
    await using to = await served(async (request, info) => {
      if (info.target === "/later") await new Promise(setImmediate);
      const text = await request.text();
      return Response.json([text, [...info.trailers]]);
    });
    const asking = Array.from({ length: 60 }, async (_, i) => {
      const stream = to.request(
        { ":method": "POST", ":path": i % 2 === 0 ? "/now" : "/later" },
        { waitForTrailers: true },
      );
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-n": `${i}` }));
      const text = "x".repeat((i % 3) * 1000);
      stream.end(text);
      assert.deepEqual(JSON.parse(String(await collect(stream))), [text, [["x-n", `${i}`]]]);
    });
    await Promise.all(asking);
  });

  checked("leaves the bytes of a response as they are, however often it is sent", async () => {
    const bytes = new Uint8Array(300_000).fill(120);
    await using to = await served(() => new Response(bytes));
    for (let i = 0; i < 3; i++) assert.ok((await to.ask({})).body.equals(bytes));
    assert.equal(bytes.length, 300_000);
  });

  checked("carries 64 MB both ways, files, events and trailers", async () => {
    const folder = await mkdtemp(join(tmpdir(), "coronet-h2-"));
    await writeFile(join(folder, "file"), "x".repeat(300_000));
    const files = serveFiles(folder);
    let trailers: [string, string][] = [];
    await using to = await served(
      async (request, info) => {
        if (info.target === "/events") {
          const { signal } = request;
          return eventStream([{ data: "one" }, { data: "two" }], { signal });
        }
        if (request.method === "GET") return await files(request);
        if (info.target === "/echo") return new Response(request.body);
        await request.text();
        trailers = [...info.trailers];
        return new Response("read");
      },
      { limits: { body: Infinity } },
    );
    const bytes = Buffer.alloc(64 << 20, "coronet");
    const echoed = await to.ask({ ":path": "/echo", ":method": "POST" }, bytes);
    assert.ok(echoed.body.equals(bytes));
    assert.equal((await to.ask({ ":path": "/file" })).body.length, 300_000);
    const range = await to.ask({ ":path": "/file", range: "bytes=0-9" });
    assert.deepEqual([range.headers[":status"], range.body.length], [206, 10]);
    assert.match(String((await to.ask({ ":path": "/events" })).body), /data: one\n\n.*data: two/s);
    const stream = to.request({ ":method": "POST" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "7" }));
    stream.end("body");
    await collect(stream);
    assert.deepEqual(trailers, [["x-sum", "7"]]);
    await rm(folder, { recursive: true });
  });

  checked("asks a body for more only as fast as the client takes it", async () => {
    let given = 0;
    await using to = await served(() => {
      async function* much() {
        for (; given < 64 << 20; given += 65_536) yield new Uint8Array(65_536);
      }
      return new Response(much());
    });
    const stream = to.request({});
    await once(stream, "response");
    await sleep(100);
    const early = given;
    assert.ok(early < 8 << 20, `${early} bytes were made for a client that reads nothing`);
    stream.close(constants.NGHTTP2_CANCEL);
    await once(stream, "close");
    await until("the body is given up", () => to.server.stats.requests === 1);
    assert.ok(given < 16 << 20);
  });

  checked("tells the handler when its client leaves", async () => {
    let left: unknown;
    await using to = await served(async (request, info) => {
      await new Promise((resolve) => request.signal.addEventListener("abort", resolve));
      left = info.context.err;
      return new Response("late");
    });
    const stream = to.request({});
    await until("it has begun", () => to.server.stats.requests === 1);
    stream.close(constants.NGHTTP2_CANCEL);
    await until("it is told", () => left !== undefined);
    const [next] = await Promise.all([once(to.request({ ":path": "/2" }), "close"), gone(to)]);
    assert.ok(next);
  });

  async function gone({ session, server }: Served): Promise<void> {
    await until("it has begun", () => server.stats.requests === 2);
    session.destroy();
  }

  checked("holds its limits", async () => {
    const read: Handler = async (request) => new Response(String((await request.text()).length));
    await using to = await limited({ body: 1000, url: 50, headers: 20, headerBytes: 2000 }, read);
    const status = async (headers: OutgoingHttpHeaders, body?: string): Promise<unknown> => {
      return (await to.ask(headers, body)).headers[":status"];
    };
    const post = { ":method": "POST" };
    assert.equal(await status(post, "x".repeat(1000)), 200);
    assert.equal(await status(post, "x".repeat(1001)), 413);
    assert.equal(await status({ ...post, "content-length": 5000 }, "x".repeat(5000)), 413);
    assert.equal(await status({ ":path": `/${"x".repeat(50)}` }), 414);
    assert.equal(await status({ expect: "miracles" }), 417);
    assert.equal(await status({ "x-long": "x".repeat(1990) }), 431);
    assert.equal(await status({}), 200);
    assert.deepEqual(to.server.stats.refused, { 413: 2, 414: 1, 417: 1, 431: 1 });
  });

  checked("resets a stream whose body fails, and serves the others", async () => {
    const errors: unknown[] = [];
    await using to = await served(
      (_, info) => {
        async function* broken() {
          yield "part";
          throw new Error("no more");
        }
        if (info.target === "/short") {
          return new Response(broken(), { headers: { "content-length": "2" } });
        }
        if (info.target === "/thrown") throw new Error("thrown");
        return info.target === "/broken" ? new Response(broken()) : new Response("fine");
      },
      { onError: (error) => errors.push((error as Error).message) },
    );
    for (const path of ["/broken", "/short"]) {
      await assert.rejects(to.ask({ ":path": path }), { code: "ERR_HTTP2_STREAM_ERROR" });
    }
    assert.equal((await to.ask({ ":path": "/thrown" })).headers[":status"], 500);
    assert.equal(String((await to.ask({})).body), "fine");
    assert.equal(errors.length, 3);
  });

  checked("answers before the whole request has come", async () => {
    await using to = await served(() => new Response("early", { status: 403 }));
    const stream = to.request({ ":method": "POST" });
    const [headers] = await once(stream, "response");
    assert.equal(headers[":status"], 403);
    assert.equal(String(await collect(stream)), "early");
    await until("the stream is closed", () => stream.closed);
    assert.equal(stream.rstCode, 0);
  });

  checked("says 100 when the body is asked for", async () => {
    await using to = await served(async (request) => new Response(await request.text()));
    const stream = to.request({ ":method": "POST", expect: "100-continue" });
    await once(stream, "continue");
    stream.end("wanted");
    assert.equal(String(await collect(stream)), "wanted");
  });

  checked("refuses upgrades clearly, but WebSockets by extended CONNECT", async () => {
    let refused = "";
    await using to = await served(async (request, info) => {
      if (info.target === "/upgrade") {
        await info.upgrade().catch((error: Error) => {
          refused = error.message;
        });
        return new Response("no");
      }
      const socket = await upgradeWebSocket(request, info, { protocols: ["echo"] });
      for await (const message of socket) await socket.send(`you said ${message}`);
      await socket.close();
      return undefined;
    });
    await to.ask({ ":path": "/upgrade" });
    assert.match(refused, /HTTP\/2/);
    if (to.session.remoteSettings.enableConnectProtocol !== true) {
      await once(to.session, "remoteSettings");
    }
    const stream = to.request({
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":path": "/chat",
      "sec-websocket-version": "13",
      "sec-websocket-protocol": "echo",
    });
    const [headers] = await once(stream, "response");
    assert.equal(headers[":status"], 200);
    assert.equal(headers["sec-websocket-protocol"], "echo");
    assert.equal(headers["sec-websocket-accept"], undefined);
    stream.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]));
    const [frame] = await once(stream, "data");
    assert.equal(frame.subarray(2).toString(), "you said hi");
    stream.write(Buffer.from([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]));
    stream.end();
    await once(stream, "close");
  });

  checked("goes through a proxy, and has an access log's facts", async () => {
    const versions: string[] = [];
    await using app = await serve(
      "127.0.0.1:0",
      async (request) => {
        const proto = request.headers.get("x-forwarded-proto");
        return new Response(`${proto} ${(await request.text()).length}`);
      },
      { tls: { cert, key } },
    );
    using proxy = reverseProxy({ upstreams: [`https://${app.addr}`], tls: { ca: cert } });
    await using to = await served(proxy, {
      hooks: { responseSent: ({ version, complete }) => versions.push(`${version} ${complete}`) },
    });
    const { body } = await to.ask({ ":method": "POST" }, Buffer.alloc(1 << 20));
    assert.equal(String(body), `https ${1 << 20}`);
    await until("it is told", () => versions.length === 1);
    assert.deepEqual(versions, ["HTTP/2.0 true"]);
    closeIdle();
  });

  checked("is drained: what is under way is answered, and GOAWAY says so", async () => {
    let finish = (): void => {};
    const gate = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const to = await served(async (_, info) => {
      if (info.target === "/slow") await gate;
      return new Response("done");
    });
    const slow = to.ask({ ":path": "/slow" });
    await until("it has begun", () => to.server.stats.requests === 1);
    const away = once(to.session, "goaway");
    const stopped = to.server.shutdown();
    await away;
    finish();
    assert.equal(String((await slow).body), "done");
    await stopped;
    await until("the session has ended", () => to.session.closed);
    to.session.destroy();
  });

  checked("ends sessions that ask for nothing, and the slow ones", async () => {
    await using to = await limited({ idle: 50, bodyRate: 0 }, async () => new Response("x"));
    await to.ask({});
    await once(to.session, "close");
    await until("the server has let it go", () => to.server.size === 0);
  });

  checked("survives sessions that are cut at a random byte", async (t) => {
    const random = seeded(t);
    await using to = await served(async (request) => new Response(await request.bytes()), {
      onError: (error) => assert.fail(String(error)),
    });
    for (let i = 0; i < ROUNDS; i++) {
      const other = new Served(to.server);
      for (let n = 0; n < 5; n++) {
        const stream = other.request({ ":method": "POST" });
        stream.end(Buffer.alloc(random.below(200_000)));
        stream.resume();
      }
      const { socket } = other.session;
      await once(other.session, "connect");
      const limit = random.below(400_000);
      await until("bytes have passed", () => {
        const { bytesWritten, bytesRead, destroyed } = socket as unknown as TLSSocket;
        return destroyed || bytesWritten + bytesRead >= limit || other.session.destroyed;
      }).catch(() => {});
      other.session.destroy();
    }
    assert.equal(String((await to.ask({ ":method": "POST" }, "still")).body), "still");
    await until("they are gone", () => to.server.size === 1);
  });

  checked("is not offered when it is not wanted", async () => {
    await using server = await serve("127.0.0.1:0", () => new Response("x"), {
      tls: { cert, key },
      http2: false,
    });
    const session = connect(`https://localhost:${(server.addr as TCPAddr).port}`, { ca: cert });
    const [error] = await once(session, "error");
    assert.ok(error);
  });
});
