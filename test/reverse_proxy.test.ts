// What a reverse proxy passes on, what it keeps to itself, and what it does when one side fails.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  createServer,
  type IncomingMessage,
  request as nodeRequest,
  type ServerResponse,
} from "node:http";
import {
  type AddressInfo,
  createServer as createNetServer,
  connect as nodeConnect,
  type Socket,
} from "node:net";
import { Readable } from "node:stream";
import { describe, it } from "node:test";
import WebSocket, { WebSocketServer } from "ws";
import {
  fetch,
  type ProxyOptions,
  type ReverseProxy,
  reverseProxy,
  type Server,
  serve,
} from "../src/http/index.ts";
import { closeIdle, sleep } from "../src/index.ts";
import { RawClient } from "../testing/http_client.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { REQUESTS } from "./http_requests.ts";

type NodeHandler = (request: IncomingMessage, response: ServerResponse) => void;

interface App extends AsyncDisposable {
  url: string;
  port: number;
  sockets: Set<Socket>;
  kill(): void;
}

/** An address of this machine on which nobody else asks for ports. */
const APART = "127.77.3.9";

async function app(handler: NodeHandler, port = 0, host = "127.0.0.1"): Promise<App> {
  const server = createServer(handler);
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.listen(port, host);
  await once(server, "listening");
  const kill = (): void => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  const got = (server.address() as AddressInfo).port;
  return {
    url: `http://${host}:${got}`,
    port: got,
    sockets,
    kill,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

interface Front extends AsyncDisposable {
  url: string;
  server: Server;
  proxy: ReverseProxy;
  errors: unknown[];
}

/** A server whose requests all go on. */
async function front(options: ProxyOptions): Promise<Front> {
  const errors: unknown[] = [];
  const onError = (error: unknown): void => void errors.push(error);
  const proxy = reverseProxy({ onError, ...options });
  const limits = { body: 1 << 30 };
  const server = await serve("127.0.0.1:0", proxy, { onError, limits });
  return {
    url: `http://${server.addr}`,
    server,
    proxy,
    errors,
    async [Symbol.asyncDispose]() {
      proxy.close();
      closeIdle();
      await server.close();
    },
  };
}

/** A port of APART where nobody listens. */
async function freePort(): Promise<number> {
  const server = createNetServer().listen(0, APART);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

const headersOf: NodeHandler = (request, response) => {
  const list = request.rawHeaders;
  const pairs: [string, string][] = [];
  for (let i = 0; i < list.length; i += 2) pairs.push([list[i] as string, list[i + 1] as string]);
  response.end(JSON.stringify({ url: request.url, pairs }));
};

function checked(name: string, body: () => Promise<void>): void {
  it(name, (t) => withLeakCheck(t, body));
}

describe("what goes through a reverse proxy", () => {
  checked("fields of the message, and where it has come from", async () => {
    await using upstream = await app(headersOf);
    await using proxy = await front({ upstreams: [`${upstream.url}/base/`] });
    await using client = await RawClient.to(proxy.server.addr);
    const lines = [
      "GET /a//b/../c?d=%20 HTTP/1.1",
      "Host: example.com",
      "X-A: 1",
      "Connection: keep-alive, X-Hop, Host",
      "X-Hop: 1",
      "Keep-Alive: 5",
      "Proxy-Authorization: secret",
      "TE: gzip, trailers",
      "X-Forwarded-For: 6.6.6.6",
      "Forwarded: for=6.6.6.6",
      "X-Real-IP: 6.6.6.6",
    ];
    await client.send(`${lines.join("\r\n")}\r\n\r\n`);
    const { url, pairs } = JSON.parse((await client.response())?.body ?? "");
    assert.equal(url, "/base/a//b/../c?d=%20");
    assert.deepEqual(Object.fromEntries(pairs), {
      host: "example.com",
      "X-A": "1",
      te: "trailers",
      connection: "te",
      forwarded: 'for=127.0.0.1;host="example.com";proto=http',
      "x-forwarded-for": "127.0.0.1",
      "x-forwarded-host": "example.com",
      "x-forwarded-proto": "http",
      via: "1.1 coronet",
    });
  });

  checked("the host of a whole url instead of Host; the asterisk as it is", async () => {
    await using upstream = await app(headersOf);
    await using proxy = await front({ upstreams: [`${upstream.url}/base`] });
    await using client = await RawClient.to(proxy.server.addr);
    await client.send("GET http://real.example/x HTTP/1.1\r\nHost: other.example\r\n\r\n");
    const { url, pairs } = JSON.parse((await client.response())?.body ?? "");
    const headers = Object.fromEntries(pairs);
    assert.deepEqual([url, headers.host], ["/base/x", "real.example"]);
    assert.equal(headers["x-forwarded-host"], "real.example");
    await client.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal(JSON.parse((await client.response())?.body ?? "").url, "*");
  });

  checked("a trusted client's word, the upstream's own host, changed headers", async () => {
    await using upstream = await app(headersOf);
    await using proxy = await front({
      upstreams: [upstream.url],
      trusted: true,
      host: "upstream",
      headers: (headers) => headers.set("x-key", "secret"),
    });
    const response = await fetch(proxy.url, {
      headers: {
        "x-forwarded-for": "1.2.3.4",
        "x-forwarded-proto": "https",
        forwarded: "for=1.2.3.4;proto=https",
        via: "1.0 other",
      },
    });
    const headers = Object.fromEntries((await response.json()).pairs);
    assert.equal(headers.host, new URL(upstream.url).host);
    assert.equal(headers["x-forwarded-for"], "1.2.3.4, 127.0.0.1");
    assert.equal(headers["x-forwarded-proto"], "https");
    assert.match(headers.forwarded, /^for=1\.2\.3\.4;proto=https, for=127\.0\.0\.1;/);
    assert.equal(headers.via, "1.0 other, 1.1 coronet");
    assert.equal(headers["x-key"], "secret");
    assert.equal(response.headers.get("via"), "1.1 coronet");
  });

  checked(
    "status, phrase, fields and cookies of the response, but not its connection's",
    async () => {
      await using upstream = await app((_, response) => {
        response.writeHead(418, "Short and stout", [
          ["Set-Cookie", "a=1"],
          ["Set-Cookie", "b=2"],
          ["X-Hop", "1"],
          ["Connection", "X-Hop"],
          ["Content-Encoding", "gzip"],
        ] as never);
        response.end("no gzip, and nobody looks");
      });
      await using proxy = await front({ upstreams: [upstream.url] });
      const response = await fetch(proxy.url, { decode: false });
      assert.deepEqual([response.status, response.statusText], [418, "Short and stout"]);
      assert.deepEqual(response.headers.getSetCookie(), ["a=1", "b=2"]);
      assert.equal(response.headers.has("x-hop"), false);
      assert.equal(await response.text(), "no gzip, and nobody looks");
    },
  );

  checked("HEAD, 204, 304, interim responses, trailers both ways, 100-continue", async () => {
    const trailers: unknown[] = [];
    await using upstream = await app((request, response) => {
      if (request.url === "/204") return void response.writeHead(204).end();
      if (request.url === "/304") return void response.writeHead(304, { etag: '"a"' }).end();
      if (request.url === "/103") response.writeEarlyHints({ link: "</a>; rel=preload" });
      request.resume();
      request.on("end", () => {
        trailers.push(request.trailers);
        if (request.method === "HEAD") return void response.end();
        response.writeHead(200, { trailer: "x-sum" });
        response.write("body");
        response.addTrailers({ "x-sum": "4" });
        response.end();
      });
    });
    await using proxy = await front({ upstreams: [upstream.url] });
    assert.equal((await fetch(`${proxy.url}/204`)).status, 204);
    assert.equal((await fetch(`${proxy.url}/304`)).headers.get("etag"), '"a"');
    const head = await fetch(`${proxy.url}/`, { method: "HEAD" });
    assert.deepEqual([head.status, await head.text()], [200, ""]);

    const hints: unknown[] = [];
    const asked = nodeRequest(`${proxy.url}/103`, { method: "POST", headers: { trailer: "x-in" } });
    asked.on("information", (info) => hints.push(info.statusCode));
    asked.setHeader("expect", "100-continue");
    asked.flushHeaders();
    await once(asked, "continue");
    asked.write("x");
    asked.addTrailers({ "x-in": "1" });
    asked.end();
    const [response] = (await once(asked, "response")) as [IncomingMessage];
    assert.equal(String(await response.toArray()), "body");
    assert.deepEqual(response.trailers, { "x-sum": "4" });
    assert.deepEqual(trailers.at(-1), { "x-in": "1" });
    assert.ok(hints.includes(103), String(hints));
    asked.destroy();
  });

  it("64 MB both ways, nothing lost", { timeout: 60_000 }, async () => {
    await using upstream = await app((request, response) => request.pipe(response));
    await using proxy = await front({ upstreams: [upstream.url] });
    const piece = randomBytes(1 << 20);
    for (const sized of [true, false]) {
      const sent = createHash("sha256");
      const body = Readable.from(
        (function* () {
          for (let i = 0; i < 64; i++) {
            piece.writeUInt32BE(i, i);
            sent.update(piece);
            yield Buffer.from(piece);
          }
        })(),
      );
      const headers = sized ? { "content-length": `${64 << 20}` } : {};
      const asked = nodeRequest(proxy.url, { method: "POST", headers });
      body.pipe(asked);
      const [response] = (await once(asked, "response")) as [IncomingMessage];
      const got = createHash("sha256");
      let bytes = 0;
      for await (const chunk of response) {
        bytes += chunk.length;
        got.update(chunk);
      }
      assert.equal(bytes, 64 << 20);
      assert.equal(got.digest("hex"), sent.digest("hex"));
      asked.destroy();
    }
  });

  it("a large body moved inside the kernel, whole, broken off, and left by its client", async () => {
    const whole = randomBytes(8 << 20);
    let left = 0;
    await using upstream = await app((request, response) => {
      response.on("close", () => left++);
      response.setHeader("content-length", whole.length);
      if (request.url === "/whole") return void response.end(whole);
      response.write(whole.subarray(0, 4 << 20), () => {
        if (request.url === "/cut") setTimeout(() => request.socket.destroy(), 20);
      });
    });
    await using proxy = await front({ upstreams: [upstream.url] });
    for (let i = 0; i < 5; i++) {
      const got = await (await fetch(`${proxy.url}/whole`)).bytes();
      assert.ok(whole.equals(got));
    }
    assert.equal(upstream.sockets.size, 1);
    await assert.rejects((await fetch(`${proxy.url}/cut`)).bytes());
    assert.match(String(proxy.errors.splice(0)), /ERR_RESPONSE_TRUNCATED/);
    const response = await fetch(`${proxy.url}/left`);
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    await reader.read();
    await reader.cancel();
    while (left < 7) await sleep(5);
    while (proxy.proxy.upstreams[0]?.active !== 0) await sleep(5);
    assert.deepEqual(proxy.errors, []);
  });

  it("a slow client holds back the upstream", { timeout: 60_000 }, async () => {
    const sent = new Map<string, number>();
    const chunk = Buffer.alloc(65_536);
    await using upstream = await app((request, response) => {
      const name = request.url as string;
      if (name === "/sized") response.setHeader("content-length", 1 << 28);
      const body = function* (): Generator<Buffer> {
        for (let i = 0; i < 4096; i++) {
          sent.set(name, i * chunk.length);
          yield chunk;
        }
      };
      response.on("error", () => {});
      Readable.from(body())
        .on("error", () => {})
        .pipe(response);
    });
    await using proxy = await front({ upstreams: [upstream.url] });
    for (const name of ["/chunked", "/sized"]) {
      const socket = nodeConnect(Number(new URL(proxy.url).port), "127.0.0.1");
      socket.on("error", () => {});
      socket.write(`GET ${name} HTTP/1.1\r\nHost: a\r\n\r\n`);
      await once(socket, "readable");
      let before = -1;
      while (before !== sent.get(name)) {
        before = sent.get(name) ?? 0;
        await sleep(100);
      }
      assert.ok(
        before < 64 << 20,
        `${before >> 20} MiB were taken for a client that does not read`,
      );
      socket.destroy();
    }
  });

  checked("a WebSocket, with what was sent ahead", async () => {
    const sockets = new WebSocketServer({ noServer: true });
    const server = createServer();
    server.on("upgrade", (request, socket, head) => {
      sockets.handleUpgrade(request, socket, head, (ws) => {
        ws.send("welcome");
        ws.on("message", (data) => ws.send(data));
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    await using proxy = await front({ upstreams: [`http://127.0.0.1:${port}`] });
    const ws = new WebSocket(proxy.url.replace("http", "ws"));
    const messages: string[] = [];
    ws.on("message", (data) => {
      messages.push(String(data));
      if (messages.length === 3) ws.close();
    });
    ws.on("open", () => {
      ws.send("hello");
      ws.send("x".repeat(500_000));
    });
    await once(ws, "close");
    assert.deepEqual(
      messages.map((text) => text.slice(0, 7)),
      ["welcome", "hello", "xxxxxxx"],
    );
    assert.equal(messages[2]?.length, 500_000);
    server.close();
  });
});

describe("a reverse proxy whose upstream fails", () => {
  checked("answers 502 where nobody listens, 504 for one that is silent, and says so", async () => {
    const gone = await freePort();
    await using silent = await app(() => {});
    await using proxy = await front({ upstreams: [`http://${APART}:${gone}`] });
    for (let i = 0; i < 3; i++) assert.equal((await fetch(proxy.url)).status, 502);
    assert.match(String(proxy.errors[0]), /ECONNREFUSED/);
    await using slow = await front({ upstreams: [silent.url], timeouts: { head: 30 } });
    assert.equal((await fetch(slow.url)).status, 504);
    assert.match(String(slow.errors[0]), /no response in time/);
  });

  checked("answers 502 to what is no response, and passes nothing of it on", async () => {
    const garbage = createNetServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => {
        socket.end(
          "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        );
      });
    }).listen(0, "127.0.0.1");
    await once(garbage, "listening");
    const { port } = garbage.address() as AddressInfo;
    await using proxy = await front({ upstreams: [`http://127.0.0.1:${port}`] });
    const response = await fetch(proxy.url);
    assert.deepEqual([response.status, await response.text()], [502, "Bad Gateway\n"]);
    garbage.close();
  });

  checked("breaks the response off that breaks off upstream", async () => {
    for (const sized of [true, false]) {
      await using upstream = await app((_, response) => {
        if (sized) response.setHeader("content-length", 100_000_000);
        response.write("a".repeat(100_000), () => setTimeout(() => upstream.kill(), 10));
      });
      await using proxy = await front({ upstreams: [upstream.url] });
      const response = await fetch(proxy.url);
      assert.equal(response.status, 200);
      await assert.rejects(response.text());
      assert.equal(proxy.errors.length, 1);
    }
  });

  checked("tries another one, and takes the first out", async () => {
    let count = 0;
    await using good = await app((request, response) => {
      count++;
      request.pipe(response);
    });
    await using proxy = await front({
      upstreams: [`http://${APART}:${await freePort()}`, good.url],
      failTime: 600_000,
    });
    for (let i = 0; i < 6; i++) {
      const response = await fetch(proxy.url, { method: "POST", body: `${i}` });
      assert.deepEqual([response.status, await response.text()], [200, `${i}`]);
    }
    assert.equal(count, 6);
    const [bad] = proxy.proxy.upstreams;
    assert.deepEqual([bad?.failures, bad?.up, bad?.active], [1, false, 0]);
  });

  checked("lets one that was out try again after its time", async () => {
    await using good = await app((_, response) => void response.end("good"));
    const port = await freePort();
    const upstreams = [`http://${APART}:${port}`, good.url];
    await using proxy = await front({ upstreams, failTime: 20 });
    const [bad] = proxy.proxy.upstreams;
    while (bad?.failures === 0) assert.equal(await (await fetch(proxy.url)).text(), "good");
    await using revived = await app((_, response) => void response.end("back"), port, APART);
    assert.equal(revived.port, port);
    let text = "";
    while (text !== "back") text = await (await fetch(proxy.url)).text();
    assert.equal(bad?.active, 0);
  });

  checked("answers 503 when none is left", async () => {
    const [a, b] = [await freePort(), await freePort()];
    const upstreams = [`http://${APART}:${a}`, `http://${APART}:${b}`];
    await using proxy = await front({ upstreams, failTime: 600_000 });
    assert.equal((await fetch(proxy.url)).status, 502);
    assert.equal((await fetch(proxy.url)).status, 503);
  });

  checked("repeats nothing that may have been done", async () => {
    const seen: string[] = [];
    const closing: NodeHandler = (request) => {
      seen.push(`${request.method}`);
      request.on("data", () => {});
      request.on("end", () => request.socket.destroy());
    };
    await using a = await app(closing);
    await using b = await app(closing);
    await using proxy = await front({ upstreams: [a.url, b.url], maxFails: 0 });
    assert.equal((await fetch(proxy.url, { method: "POST", body: "x" })).status, 502);
    assert.deepEqual(seen.splice(0), ["POST"]);
    assert.equal((await fetch(proxy.url)).status, 502);
    assert.deepEqual(seen.splice(0), ["GET", "GET"]);
    const large = { method: "PUT", body: new Uint8Array(1_000_000) };
    assert.equal((await fetch(proxy.url, large)).status, 502);
    assert.deepEqual(seen, ["PUT"]);
  });

  checked("stops asking for a client that has left", async () => {
    let left = 0;
    await using upstream = await app((request, response) => {
      response.on("close", () => left++);
      if (request.url === "/body") response.write("some");
    });
    await using proxy = await front({ upstreams: [upstream.url] });
    for (const path of ["/head", "/body"]) {
      const stop = new AbortController();
      const asked = fetch(proxy.url + path, { signal: stop.signal });
      if (path === "/body") {
        const response = await asked;
        const reader = (response.body as ReadableStream<Uint8Array>).getReader();
        await reader.read();
        await sleep(60);
        stop.abort();
        await assert.rejects(reader.read());
      } else {
        await sleep(60);
        stop.abort();
        await assert.rejects(asked);
      }
    }
    while (left < 2) await sleep(5);
    while (proxy.proxy.upstreams[0]?.active !== 0) await sleep(5);
    assert.equal(proxy.proxy.upstreams[0]?.failures, 0);
    assert.deepEqual(proxy.errors, []);
  });

  checked("asks after its health, if told to", async () => {
    let healthy = true;
    const handler: NodeHandler = (request, response) => {
      response.statusCode = request.url === "/health" && !healthy ? 500 : 200;
      response.end("ok");
    };
    await using upstream = await app(handler);
    await using proxy = await front({
      upstreams: [upstream.url],
      check: { path: "/health", interval: 10, fails: 2, passes: 2 },
    });
    assert.equal((await fetch(proxy.url)).status, 200);
    healthy = false;
    const [one] = proxy.proxy.upstreams;
    while (one?.up) await sleep(5);
    assert.equal((await fetch(proxy.url)).status, 503);
    healthy = true;
    while (one?.up !== true) await sleep(5);
    assert.equal((await fetch(proxy.url)).status, 200);
    proxy.proxy.close();
    await sleep(20);
  });
});

describe("who gets a request", () => {
  async function counted(
    options: Omit<ProxyOptions, "upstreams">,
    asks: string[],
    weights = [1, 1],
  ) {
    const counts: [number, number] = [0, 0];
    await using a = await app((_, response) => void response.end(`${counts[0]++}`));
    await using b = await app((_, response) => void response.end(`${counts[1]++}`));
    const upstreams = [a, b].map(({ url }, i) => ({ url, weight: weights[i] as number }));
    await using proxy = await front({ ...options, upstreams });
    for (const path of asks) await (await fetch(proxy.url + path)).text();
    return counts;
  }

  checked("each in turn, by weight", async () => {
    assert.deepEqual(await counted({}, Array(10).fill("/")), [5, 5]);
    assert.deepEqual(await counted({}, Array(12).fill("/"), [3, 1]), [9, 3]);
  });

  checked("whoever has least to do", async () => {
    let waiting: ServerResponse | undefined;
    let quick = 0;
    await using slow = await app((_, response) => {
      waiting = response;
    });
    await using fast = await app((_, response) => void response.end(`${quick++}`));
    await using proxy = await front({
      upstreams: [slow.url, fast.url],
      balance: "least-connections",
    });
    const first = fetch(proxy.url);
    while (waiting === undefined) await sleep(1);
    for (let i = 0; i < 5; i++) await (await fetch(proxy.url)).text();
    assert.equal(quick, 5);
    waiting.end();
    await (await first).text();
  });

  checked("the same one for the same key, and whom a function names", async () => {
    assert.deepEqual((await counted({ balance: "hash" }, Array(6).fill("/"))).sort(), [0, 6]);
    const key: ProxyOptions["key"] = (_, info) => info.target;
    const paths = Array.from({ length: 40 }, (_, i) => `/${i}`);
    const [a = 0, b = 0] = await counted({ balance: "hash", key }, paths);
    assert.ok(a > 5 && b > 5 && a + b === 40, `${a} and ${b}`);
    assert.deepEqual(await counted({ balance: (all) => all[1] }, Array(4).fill("/")), [0, 4]);
  });
});

describe("requests that two servers could read differently", () => {
  it("do not get through a proxy; the others arrive as one request each", {
    timeout: 60_000,
  }, async () => {
    const seen: string[] = [];
    await using upstream = await app((request, response) => {
      const parts: Buffer[] = [];
      request.on("data", (part) => parts.push(part));
      request.on("end", () => {
        seen.push(`${request.method} ${request.url} ${Buffer.concat(parts).toString("latin1")}`);
        response.end("ok");
      });
      request.on("error", () => seen.push("broken"));
    });
    await using proxy = await front({ upstreams: [upstream.url] });
    const next = "GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for (const { name, request, status, seen: wanted } of REQUESTS) {
      seen.length = 0;
      await using client = await RawClient.to(proxy.server.addr);
      const [responses] = await Promise.all([
        client.responses(),
        client.send(request + next).catch(() => {}),
      ]);
      if (wanted === undefined) {
        // A body that goes wrong later than its head has been begun upstream, and is broken off there.
        assert.ok(
          seen.every((line) => line === "broken"),
          `${name}: ${seen.join(" | ")}`,
        );
        assert.ok(responses.length <= 1 && responses[0]?.status !== 200, name);
      } else {
        const [method = "", target = "", ...body] = wanted.split(" ");
        const path = target.replace(/^[a-z]+:\/\/[^/]*(?=\/)/i, "");
        assert.deepEqual(seen, [[method, path, ...body].join(" "), "GET /next "], name);
        assert.equal(responses[0]?.status, status, name);
      }
    }
  });
});
