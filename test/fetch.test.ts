// What fetch does for its callers: bodies both ways, redirects, timeouts, signals, the pool, repetition.
//
//   CORONET_FETCH_REQUESTS=100000   how many requests must leave memory as it is; 3000 without it
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createNetServer, type Socket } from "node:net";
import { describe, it, type TestContext } from "node:test";
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import {
  Client,
  FetchError,
  type FetchInit,
  fetch,
  type Handler,
  Request,
  Response,
  reverseProxy,
  serve,
} from "../src/http/index.ts";
import {
  background,
  closeIdle,
  listen,
  poolStats,
  sleep,
  WaitGroup,
  withCancel,
} from "../src/index.ts";
import { socketFolder } from "../testing/conns.ts";
import { withLeakCheck } from "../testing/leaks.ts";

const REQUESTS = Number(process.env.CORONET_FETCH_REQUESTS) || 3000;

interface Target extends AsyncDisposable {
  url: string;
}

/** Our server, without a word about what handlers fail with. */
async function ours(handler: Handler): Promise<Target> {
  const server = await serve("127.0.0.1:0", handler, { onError: () => {} });
  const close = async (): Promise<void> => {
    closeIdle();
    await server.close();
  };
  return { url: `http://${server.addr}`, [Symbol.asyncDispose]: close };
}

async function nodes(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Target & { connections: () => number }> {
  let connections = 0;
  const server = createServer(handler).listen(0, "127.0.0.1");
  server.on("connection", () => connections++);
  await once(server, "listening");
  const close = async (): Promise<void> => {
    closeIdle();
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  };
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, connections: () => connections, [Symbol.asyncDispose]: close };
}

/** A server of bytes: tells of each connection. */
async function raw(onConnection: (socket: Socket, number: number) => void): Promise<Target> {
  const sockets = new Set<Socket>();
  let count = 0;
  const server = createNetServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    onConnection(socket, ++count);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = async (): Promise<void> => {
    closeIdle();
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  };
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, [Symbol.asyncDispose]: close };
}

/** What `echo` says of a request. */
interface Echoed {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: string;
}

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** What a request fails with. */
async function failure(promise: Promise<unknown>): Promise<FetchError> {
  const error = await promise.then(
    () => assert.fail("it did not fail"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof FetchError, String(error));
  return error;
}

const echo: Handler = async (request) =>
  Response.json({
    method: request.method,
    url: request.url,
    headers: Object.fromEntries(request.headers),
    body: await request.text(),
  });

async function* parts(...texts: string[]): AsyncGenerator<string> {
  yield* texts;
}

function checked(name: string, body: (t: TestContext) => Promise<void>): void {
  it(name, (t) => withLeakCheck(t, () => body(t)));
}

describe("what is sent", () => {
  const seen = async (init: FetchInit & { path?: string }): Promise<Echoed> => {
    await using server = await ours(echo);
    const response = await fetch(server.url + (init.path ?? "/"), init);
    return (await response.json()) as Echoed;
  };

  checked("a GET says who asks and what it takes, and nothing of a body", async () => {
    const { method, headers } = await seen({ headers: { "X-A": "b" } });
    assert.equal(method, "GET");
    const { host, ...rest } = headers;
    assert.match(String(host), /^127\.0\.0\.1:\d+$/);
    assert.deepEqual(rest, {
      accept: "*/*",
      "accept-encoding": "gzip, deflate, br",
      "user-agent": "coronet",
      "x-a": "b",
    });
  });

  checked("bodies of every kind arrive with their length or in chunks", async () => {
    const form = new FormData();
    form.set("a", "b");
    const cases: [NonNullable<FetchInit["body"]>, string, "length" | "chunks"][] = [
      ["h\u00e9llo", "h\u00e9llo", "length"],
      [Buffer.from("bytes"), "bytes", "length"],
      ["x".repeat(200_000), "x".repeat(200_000), "length"],
      [new URLSearchParams({ a: "b" }), "a=b", "length"],
      [new Blob(["blob"]), "blob", "chunks"],
      [parts("one", "", "two"), "onetwo", "chunks"],
      [new Response("stream").body as ReadableStream<Uint8Array>, "stream", "chunks"],
      [form, 'name="a"', "chunks"],
    ];
    for (const [body, text, how] of cases) {
      const got = await seen({ method: "POST", body });
      assert.ok(String(got.body).includes(text), text);
      const headers = got.headers;
      const framing = how === "chunks" ? headers["transfer-encoding"] : headers["content-length"];
      assert.equal(framing, how === "chunks" ? "chunked" : `${Buffer.byteLength(text)}`);
    }
  });

  checked("a stream with a declared length has that length, or fails", async () => {
    const headers = { "content-length": "6" };
    const got = await seen({ method: "POST", body: parts("one", "two"), headers });
    assert.equal(got.headers["content-length"], "6");
    await using server = await ours(echo);
    for (const body of [parts("one"), parts("one", "two", "three")]) {
      await assert.rejects(fetch(server.url, { method: "POST", body, headers }), TypeError);
    }
    await assert.rejects(
      fetch(server.url, { method: "POST", body: "seven!!", headers }),
      TypeError,
    );
  });

  checked("a POST without a body has length 0", async () => {
    const { headers } = await seen({ method: "POST" });
    assert.equal(headers["content-length"], "0");
  });

  checked("requests of our class and of the platform's are taken", async () => {
    await using server = await ours(echo);
    const init = { method: "PUT", headers: { a: "1" }, body: "body" };
    for (const request of [
      new Request(server.url, init),
      new globalThis.Request(server.url, init),
    ]) {
      const got = await (await fetch(request)).json();
      assert.deepEqual([got.method, got.headers.a, got.body], ["PUT", "1", "body"]);
      await assert.rejects(fetch(request), TypeError);
    }
  });

  checked("what would change the connection is not passed on", async () => {
    const headers = {
      "Transfer-Encoding": "gzip",
      "Keep-Alive": "5",
      Upgrade: "x",
      Connection: "upgrade",
      TE: "trailers",
    };
    const got = await seen({ method: "POST", body: "a", headers });
    const names = Object.keys(got.headers);
    for (const name of Object.keys(headers)) assert.ok(!names.includes(name.toLowerCase()), name);
  });

  checked("arguments that are none are refused before anything is sent", async () => {
    const url = "http://127.0.0.1:1/";
    const bad: [string, FetchInit?][] = [
      ["/relative"],
      ["ftp://a/"],
      ["http://user:secret@127.0.0.1:1/"],
      [url, { method: "TRACE" }],
      [url, { method: "CONNECT" }],
      [url, { method: "A B" }],
      [url, { body: "a" }],
      [url, { headers: { a: "b\r\nc: d" } }],
      [url, { redirect: "maybe" as never }],
    ];
    for (const [input, init] of bad) {
      await assert.rejects(fetch(input, init), (error: Error) => {
        assert.ok(error instanceof TypeError, String(error));
        assert.ok(!error.message.includes("secret"));
        return true;
      });
    }
    await assert.rejects(fetch(url, { timeouts: { head: 0 } }), RangeError);
  });

  checked("a unix socket stands in for the address", async () => {
    await using folder = await socketFolder();
    const path = folder.path("http.sock");
    await using server = await serve(path, echo);
    const got = await (await fetch("http://example.com/a", { socketPath: path })).json();
    assert.equal(got.url, "http://example.com/a");
    closeIdle();
    await server.close();
  });
});

describe("100-continue", () => {
  checked("sends the body when the server asks for it", async () => {
    let asked = 0;
    const server = createServer((request, response) => request.pipe(response));
    server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
      asked++;
      response.writeContinue();
      request.pipe(response);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const headers = { expect: "100-continue" };
    const response = await fetch(url, { method: "POST", body: "hello", headers });
    assert.deepEqual([await response.text(), asked], ["hello", 1]);
    closeIdle();
    server.close();
  });

  checked("keeps the body when the server says no", async () => {
    const server = await raw((socket) => {
      let got = "";
      socket.on("data", (data) => {
        got += String(data);
        if (got.endsWith("\r\n\r\n")) socket.write(`HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n`);
        assert.ok(!got.includes("secret"));
      });
    });
    await using _ = server;
    const headers = { expect: "100-continue" };
    const response = await fetch(server.url, { method: "POST", body: "secret", headers });
    assert.equal(response.status, 417);
  });

  checked("sends the body to a server that says nothing", async () => {
    const server = await raw((socket) => {
      let got = "";
      socket.on("data", (data) => {
        got += String(data);
        if (got.endsWith("body")) socket.write(OK);
      });
    });
    await using _ = server;
    const headers = { expect: "100-continue" };
    const init = { method: "POST", body: "body", headers, timeouts: { continue: 20 } };
    assert.equal(await (await fetch(server.url, init)).text(), "ok");
  });
});

describe("what comes back", () => {
  checked("is as the standard's Response", async () => {
    await using server = await ours(
      () => new Response("body", { status: 201, statusText: "Made" }),
    );
    const response = await fetch(`${server.url}/a?b#c`);
    assert.ok(response instanceof globalThis.Response);
    assert.deepEqual(
      [response.status, response.statusText, response.ok, response.type, response.redirected],
      [201, "Made", true, "basic", false],
    );
    assert.equal(response.url, `${server.url}/a?b`);
    const copy = response.clone();
    assert.equal(await response.text(), "body");
    assert.equal(await copy.text(), "body");
    assert.equal(copy.url, response.url);
    await assert.rejects(response.text(), TypeError);
  });

  checked("is decoded, in any order and depth of codings", async () => {
    const text = "squeezed ".repeat(20_000);
    const answers: Record<string, [string, Buffer]> = {
      "/gzip": ["gzip", gzipSync(text)],
      "/x": ["X-GZIP", gzipSync(text)],
      "/deflate": ["deflate", deflateSync(text)],
      "/raw": ["deflate", deflateRawSync(text)],
      "/br": ["br", brotliCompressSync(text)],
      "/both": ["gzip, br", brotliCompressSync(gzipSync(text))],
      "/identity": ["identity", Buffer.from(text)],
    };
    await using server = await nodes((request, response) => {
      const [coding, body] = answers[request.url as string] as [string, Buffer];
      response.setHeader("content-encoding", coding);
      response.end(body);
    });
    for (const [path, [coding, coded]] of Object.entries(answers)) {
      assert.equal(await (await fetch(server.url + path)).text(), text, path);
      const left = await fetch(server.url + path, { decode: false });
      assert.deepEqual(Buffer.from(await left.bytes()), coded, path);
      assert.equal(left.headers.get("content-encoding"), coding);
    }
  });

  checked("that is not what its coding says fails, also when it ends too early", async () => {
    const whole = gzipSync("x".repeat(100_000));
    await using server = await nodes((request, response) => {
      response.setHeader("content-encoding", "gzip");
      response.end(request.url === "/cut" ? whole.subarray(0, -20) : "no gzip at all");
    });
    for (const path of ["/cut", "/none"]) {
      const response = await fetch(server.url + path);
      assert.equal((await failure(response.text())).code, "ERR_RESPONSE_ENCODING", path);
    }
  });

  checked("may be returned from a handler as it is, decoded or not", async () => {
    await using app = await nodes((_, response) => {
      response.setHeader("content-encoding", "gzip");
      response.setHeader("x-app", "1");
      response.end(gzipSync("hello"));
    });
    await using front = await ours((request) =>
      fetch(app.url, { decode: new URL(request.url).pathname !== "/raw" }),
    );
    for (const path of ["/", "/raw"]) {
      const response = await globalThis.fetch(front.url + path);
      assert.deepEqual([await response.text(), response.headers.get("x-app")], ["hello", "1"]);
    }
  });

  checked("holds the server back when nobody reads", async () => {
    let written = 0;
    await using server = await ours(() => {
      const chunk = new Uint8Array(65_536);
      return new Response(
        new ReadableStream<Uint8Array>(
          {
            pull(controller) {
              written += chunk.length;
              if (written > 256 * 1024 * 1024) controller.close();
              else controller.enqueue(chunk);
            },
          },
          { highWaterMark: 0 },
        ),
      );
    });
    const response = await fetch(server.url);
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    await reader.read();
    let before = -1;
    while (before !== written) {
      before = written;
      await sleep(50);
    }
    assert.ok(written < 32 * 1024 * 1024, `${written} bytes were taken without a reader`);
    await reader.cancel();
  });

  checked("can begin before the request has been sent", async () => {
    await using server = await nodes((request, response) => request.pipe(response));
    const first = deferred();
    async function* body(): AsyncGenerator<string> {
      yield "ping";
      await first.promise;
      yield "pong";
    }
    const response = await fetch(server.url, { method: "POST", body: body() });
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    assert.equal(Buffer.from((await reader.read()).value ?? []).toString(), "ping");
    first.resolve(undefined);
    assert.equal(Buffer.from((await reader.read()).value ?? []).toString(), "pong");
    assert.equal((await reader.read()).done, true);
  });

  checked("tells trailers at its end", async () => {
    await using server = await nodes((_, response) => {
      response.writeHead(200, { trailer: "x-sum" });
      response.write("body");
      response.addTrailers({ "x-sum": "4" });
      response.end();
    });
    const response = await fetch(server.url);
    assert.equal(await response.text(), "body");
    assert.equal((response as unknown as { trailers: Headers }).trailers.get("x-sum"), "4");
  });
});

function deferred(): { promise: Promise<unknown>; resolve: (value?: unknown) => void } {
  let resolve: (value?: unknown) => void = () => {};
  const promise = new Promise<unknown>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

describe("redirects", () => {
  /** /STATUS/PATH leads to PATH. */
  const mover: Handler = async (request) => {
    const { pathname, search } = new URL(request.url);
    const [, status, to] = /^\/(\d{3})(\/.*)$/.exec(pathname) ?? [];
    if (status === undefined) return await echo(request, undefined as never);
    await request.text();
    return new Response("moved", {
      status: Number(status),
      headers: { location: `${to}${search}` },
    });
  };

  checked("change the method as the standard says", async () => {
    await using server = await ours(mover);
    const table: [number, string, string, string][] = [
      [301, "GET", "GET", ""],
      [301, "POST", "GET", ""],
      [302, "POST", "GET", ""],
      [302, "PUT", "PUT", "body"],
      [303, "PUT", "GET", ""],
      [303, "POST", "GET", ""],
      [307, "POST", "POST", "body"],
      [308, "PUT", "PUT", "body"],
    ];
    for (const [status, method, then, body] of table) {
      const init = method === "GET" ? {} : { method, body: "body" };
      const response = await fetch(`${server.url}/${status}/to`, init);
      const got = await response.json();
      assert.deepEqual([got.method, got.body], [then, body], `${status} ${method}`);
      assert.equal("content-type" in got.headers, body !== "", `${status} ${method}`);
      assert.deepEqual([response.redirected, response.url], [true, `${server.url}/to`]);
    }
    const head = await fetch(`${server.url}/303/to`, { method: "HEAD" });
    assert.deepEqual([head.status, head.url], [200, `${server.url}/to`]);
  });

  checked("are followed 20 times, refused or handed out", async () => {
    await using server = await ours(mover);
    const url = (times: number): string => `${server.url}${"/302".repeat(times)}/to`;
    assert.equal((await (await fetch(url(20))).json()).url, `${server.url}/to`);
    assert.equal((await failure(fetch(url(21)))).code, "ERR_REDIRECT");
    assert.equal((await failure(fetch(url(1), { redirect: "error" }))).code, "ERR_REDIRECT");
    const manual = await fetch(url(1), { redirect: "manual" });
    assert.deepEqual([manual.status, manual.headers.get("location")], [302, "/to"]);
    assert.equal(await manual.text(), "moved");
    const client = new Client({ maxRedirects: 1 });
    assert.equal((await failure(client.fetch(url(2)))).code, "ERR_REDIRECT");
  });

  checked("do not carry credentials to another origin", async () => {
    await using other = await ours(echo);
    await using server = await ours((request) =>
      Response.redirect(
        new URL(request.url).pathname === "/away" ? `${other.url}/x` : "/away2",
        307,
      ),
    );
    const headers = {
      authorization: "a",
      cookie: "b",
      "proxy-authorization": "c",
      host: "d",
      x: "e",
    };
    const got = await (await fetch(`${server.url}/away`, { headers })).json();
    assert.equal(got.headers.x, "e");
    for (const name of ["authorization", "cookie", "proxy-authorization"]) {
      assert.equal(name in got.headers, false, name);
    }
    assert.equal(`http://${got.headers.host}`, other.url);
  });

  checked("to what is no url of http:, and with a stream for a body, are refused", async () => {
    let location = "";
    await using server = await nodes((request, response) => {
      request.resume();
      if (request.url !== "/") return void response.end(request.url);
      response.writeHead(307, location === "" ? {} : { location });
      response.end();
    });
    for (location of ["ftp://a/", "http://[", "http://u:p@127.0.0.1/"]) {
      assert.equal((await failure(fetch(server.url))).code, "ERR_REDIRECT", location);
    }
    location = "/to";
    const streamed = fetch(server.url, { method: "POST", body: parts("a") });
    assert.equal((await failure(streamed)).code, "ERR_REDIRECT");
    location = "";
    assert.equal((await fetch(server.url)).status, 307);
  });
});

describe("time and signals", () => {
  checked("every phase has its time", async () => {
    const silent = await raw(() => {});
    await using _ = silent;
    const head = await failure(fetch(silent.url, { timeouts: { head: 30 } }));
    assert.deepEqual([head.code, head.phase, head.timeout], ["ERR_DEADLINE", "head", true]);
    assert.match(head.message, /GET http:\/\/127\.0\.0\.1:\d+\/: no response in time/);

    const total = await failure(fetch(silent.url, { timeouts: { total: 30 } }));
    assert.deepEqual([total.code, total.timeout], ["ERR_DEADLINE", true]);

    const dripping = await raw((socket) => {
      socket.write("HTTP/1.1 200 OK\r\nX: ");
      const timer = setInterval(() => socket.write("y"), 10);
      socket.on("close", () => clearInterval(timer));
    });
    await using _2 = dripping;
    const slow = await failure(fetch(dripping.url, { timeouts: { head: 60 } }));
    assert.deepEqual([slow.code, slow.phase], ["ERR_DEADLINE", "head"]);

    const stuck = await raw((socket) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    });
    await using _3 = stuck;
    const response = await fetch(stuck.url, { timeouts: { body: 30 } });
    const body = await failure(response.text());
    assert.deepEqual([body.code, body.phase], ["ERR_DEADLINE", "body"]);

    const full = await raw((socket) => void socket.pause());
    await using _4 = full;
    const init = { method: "POST", body: new Uint8Array(64 * 1024 * 1024), timeouts: { send: 50 } };
    const send = await failure(fetch(full.url, init));
    assert.deepEqual([send.code, send.phase], ["ERR_DEADLINE", "send"]);
  });

  checked("the head's time begins when the body has been sent", async () => {
    await using server = await ours(echo);
    async function* slow(): AsyncGenerator<string> {
      for (let i = 0; i < 6; i++) {
        await sleep(20);
        yield "x";
      }
    }
    const response = await fetch(server.url, {
      method: "POST",
      body: slow(),
      timeouts: { head: 80 },
    });
    assert.equal((await response.json()).body, "xxxxxx");
  });

  checked("a connection that cannot be had fails in its phase, with its address", async () => {
    const listener = await listen("tcp", "127.0.0.1:0");
    const address = String(listener.addr);
    await listener.close();
    const error = await failure(fetch(`http://${address}/a`));
    assert.deepEqual(
      [error.code, error.phase, error.address],
      ["ECONNREFUSED", "connect", address],
    );
    assert.deepEqual([error.method, error.url], ["GET", `http://${address}/a`]);
  });

  checked("a signal ends it in every phase, with its reason", async () => {
    const server = await raw((socket) => {
      socket.on("data", (data) => {
        if (String(data).includes("/body")) {
          socket.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        }
      });
    });
    await using _ = server;
    const reason = new Error("enough");
    await assert.rejects(fetch(server.url, { signal: AbortSignal.abort(reason) }), reason);

    const head = new AbortController();
    const pending = fetch(server.url, { signal: head.signal });
    setTimeout(() => head.abort(reason), 20);
    await assert.rejects(pending, reason);

    const body = new AbortController();
    const response = await fetch(`${server.url}/body`, { signal: body.signal });
    setTimeout(() => body.abort(reason), 20);
    await assert.rejects(response.text(), reason);

    const send = new AbortController();
    let canceled: unknown;
    const stream = new ReadableStream<Uint8Array>({
      pull: () => new Promise(() => {}),
      cancel(why) {
        canceled = why;
      },
    });
    const sending = fetch(server.url, { method: "POST", body: stream, signal: send.signal });
    setTimeout(() => send.abort(reason), 20);
    await assert.rejects(sending, reason);
    assert.equal(canceled, reason);

    const [context, cancel] = withCancel(background());
    const below = fetch(server.url, { signal: context.signal });
    setTimeout(() => cancel(), 20);
    await assert.rejects(below, (error) => error === context.signal.reason);

    await assert.rejects(fetch(server.url, { signal: AbortSignal.timeout(20) }), {
      name: "TimeoutError",
    });
  });

  checked("a body that fails fails its request with the same error", async () => {
    await using server = await ours(echo);
    const reason = new Error("no more");
    async function* broken(): AsyncGenerator<string> {
      yield "a";
      throw reason;
    }
    await assert.rejects(fetch(server.url, { method: "POST", body: broken() }), reason);
  });
});

describe("the pool", () => {
  checked("one connection serves requests that follow each other", async () => {
    await using server = await nodes((request, response) => request.pipe(response));
    const client = new Client();
    for (let i = 0; i < 20; i++) {
      const response = await client.fetch(server.url, { method: "POST", body: `${i}` });
      assert.equal(await response.text(), `${i}`);
    }
    assert.equal(server.connections(), 1);
    await Promise.all(
      Array.from({ length: 10 }, async () => await (await client.fetch(server.url)).text()),
    );
    assert.ok(server.connections() <= 10, `${server.connections()}`);
    assert.ok(client.closeIdle() <= 10);
  });

  checked("clients do not share connections; a backlog bounds them", async () => {
    await using server = await nodes((_, response) => void setTimeout(() => response.end("ok"), 5));
    const [a, b] = [new Client({ pool: { poolSize: 2, backlog: 100 } }), new Client()];
    const all = Array.from({ length: 20 }, async () => await (await a.fetch(server.url)).text());
    await Promise.all(all);
    assert.equal(server.connections(), 2);
    await (await b.fetch(server.url)).text();
    assert.equal(server.connections(), 3);
    assert.deepEqual([a.closeIdle(), b.closeIdle()], [2, 1]);
    const full = new Client({ pool: { poolSize: 1, backlog: 0 } });
    const [one, two] = [full.fetch(server.url), full.fetch(server.url)];
    assert.equal((await failure(two)).code, "ERR_POOL_FULL");
    await (await one).text();
    full.closeIdle();
  });

  checked("a rest that is small is read, a large one costs the connection", async () => {
    await using server = await nodes((request, response) => {
      response.end(Buffer.alloc(request.url === "/small" ? 20_000 : 4_000_000));
    });
    const client = new Client();
    for (const [path, kept] of [
      ["/small", 1],
      ["/large", 0],
    ] as const) {
      const response = await client.fetch(server.url + path);
      await response.body?.cancel();
      for (let i = 0; i < 100 && idleOf(server.url) !== kept; i++) {
        await sleep(5);
      }
      assert.equal(idleOf(server.url), kept, path);
      client.closeIdle();
    }
  });

  checked("a connection is kept a second less than its server says", async () => {
    await using server = await raw((socket) => {
      socket.on("data", () => {
        socket.write(`HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok`);
      });
    });
    const client = new Client();
    await (await client.fetch(server.url)).text();
    assert.equal(client.closeIdle(), 0);
  });

  checked("a dead connection is replaced for requests that may be repeated", async () => {
    // Every connection answers once, and is closed when it is asked again.
    const seen: string[] = [];
    const server = await raw((socket, number) => {
      let requests = 0;
      socket.on("data", (data) => {
        const line = String(data).split(" HTTP")[0];
        seen.push(`${number} ${line}`);
        if (++requests === 1) socket.write(OK);
        else socket.destroy();
      });
    });
    await using _ = server;
    const client = new Client();
    const ask = async (method: string, body?: FetchInit["body"]): Promise<string> => {
      const response = await client.fetch(server.url, { method, ...(body ? { body } : {}) });
      return await response.text();
    };
    assert.equal(await ask("GET"), "ok");
    assert.equal(await ask("GET"), "ok");
    assert.equal(await ask("PUT", "body"), "ok");
    assert.deepEqual(seen, ["1 GET /", "1 GET /", "2 GET /", "2 PUT /", "3 PUT /"]);
    const post = await failure(ask("POST", "body"));
    assert.match(post.code, /^(ECONNRESET|ERR_UNEXPECTED_EOF|EPIPE)$/);
    await ask("GET");
    await failure(ask("PUT", parts("a")));
    await ask("GET");
    const response = await client.fetch(server.url, {
      method: "POST",
      body: "b",
      headers: { "idempotency-key": "1" },
    });
    assert.equal(await response.text(), "ok");
    client.closeIdle();
  });

  checked(
    "nothing is repeated once a byte of the answer has come, or on a new connection",
    async () => {
      let requests = 0;
      const server = await raw((socket) => {
        socket.on("data", () => {
          if (++requests === 1) socket.write(OK);
          else socket.end("HTTP/1.1 2");
        });
      });
      await using _ = server;
      const client = new Client();
      await (await client.fetch(server.url)).text();
      assert.equal((await failure(client.fetch(server.url))).code, "ERR_RESPONSE_TRUNCATED");
      assert.equal(requests, 2);
      await using closing = await raw((socket) => {
        socket.on("data", () => {
          requests++;
          socket.destroy();
        });
      });
      await failure(client.fetch(closing.url));
      assert.equal(requests, 3);
    },
  );

  checked("bytes that nobody asked for close an idle connection", async () => {
    const sockets: Socket[] = [];
    const server = await raw((socket) => {
      sockets.push(socket);
      socket.on("data", () => socket.write(OK));
    });
    await using _ = server;
    const client = new Client();
    await (await client.fetch(server.url)).text();
    sockets[0]?.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    await new Promise((resolve) => sockets[0]?.on("close", resolve));
    assert.equal(await (await client.fetch(server.url)).text(), "ok");
    assert.equal(sockets.length, 2);
    client.closeIdle();
  });

  checked("an answer before the whole request ends the request", async () => {
    const server = await raw((socket) => {
      socket.once("data", () => socket.write("HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n"));
    });
    await using _ = server;
    let canceled = false;
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(1000)),
      cancel() {
        canceled = true;
      },
    });
    const response = await fetch(server.url, { method: "POST", body });
    assert.equal(response.status, 413);
    await response.text();
    while (!canceled) await sleep(1);
  });

  it(`${REQUESTS} requests leave memory as it is`, { timeout: 600_000 }, async () => {
    await using server = await ours(async (request) => {
      if (request.method === "GET") return new Response("hello");
      return new Response(request.body);
    });
    const client = new Client();
    const some = async (count: number): Promise<void> => {
      const group = new WaitGroup();
      for (let g = 0; g < 8; g++) {
        group.go(async () => {
          for (let i = 0; i < count / 8; i++) {
            const init = i % 4 === 0 ? { method: "POST", body: parts("streamed ", "body") } : {};
            const response = await client.fetch(server.url, init);
            assert.equal((await response.text()).length, i % 4 === 0 ? 13 : 5);
          }
        });
      }
      await group.wait();
    };
    await some(Math.min(REQUESTS, 2000));
    globalThis.gc?.();
    const before = process.memoryUsage().rss;
    await some(REQUESTS);
    globalThis.gc?.();
    const grown = process.memoryUsage().rss - before;
    assert.ok(grown < 64 * 1024 * 1024, `${grown >> 20} MiB more`);
    client.closeIdle();
  });
});

/** Idle connections of all pools to a server. */
function idleOf(url: string): number {
  return poolStats()
    .filter(({ name }) => name.endsWith(url))
    .reduce((sum, { idle }) => sum + idle, 0);
}

describe("other servers", () => {
  const python = ["-u", "-m", "http.server", "--bind", "127.0.0.1", "0"];

  it("Python's http.server answers", async (t) => {
    await using folder = await socketFolder();
    const child = spawn("python3", python, { cwd: folder.path("") });
    const failed = once(child, "error").then(() => "python3 is not here");
    const line = once(child.stdout, "data").then(([data]) => String(data));
    const said = await Promise.race([failed, line]);
    const port = /port (\d+)/.exec(said)?.[1];
    if (port === undefined) return t.skip(said);
    try {
      const response = await fetch(`http://127.0.0.1:${port}/`);
      assert.equal(response.status, 200);
      assert.match(await response.text(), /Directory listing/);
      assert.equal((await fetch(`http://127.0.0.1:${port}/none`)).status, 404);
      const head = await fetch(`http://127.0.0.1:${port}/`, { method: "HEAD" });
      assert.deepEqual([head.status, await head.text()], [200, ""]);
    } finally {
      closeIdle();
      child.kill();
      await once(child, "close");
    }
  });

  it("nginx answers, on a unix socket, squeezed or not, and through a proxy", async (t) => {
    await using folder = await socketFolder();
    const socketPath = folder.path("nginx.sock");
    const text = "a line of text\n".repeat(20_000);
    await writeFile(folder.path("page.txt"), text);
    const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
      .map((name) => `${name}_temp_path ${folder.path(name)};`)
      .join(" ");
    const config = `daemon off; master_process off; pid ${folder.path("pid")}; error_log stderr;
      events {}
      http {
        access_log off; ${paths} default_type text/plain;
        gzip on; gzip_types text/plain; gzip_min_length 1;
        server { listen unix:${socketPath}; root ${folder.path("")}; location = /moved { return 301 /page.txt; } }
      }`;
    await writeFile(folder.path("nginx.conf"), config);
    const child = spawn("nginx", ["-p", folder.path(""), "-c", folder.path("nginx.conf")]);
    const failed = once(child, "error").then(() => "nginx is not here");
    const closed = once(child, "close").catch(() => {});
    const listens = (async () => {
      for (let i = 0; i < 500 && child.exitCode === null; i++) {
        const up = await fetch("http://nginx/", { socketPath }).catch(() => undefined);
        await up?.body?.cancel();
        if (up !== undefined) return "";
        await sleep(10);
      }
      return "nginx does not start here";
    })();
    const problem = await Promise.race([failed, listens]);
    if (problem !== "") return t.skip(problem);
    try {
      const squeezed = await fetch("http://nginx/page.txt", { socketPath });
      assert.equal(squeezed.headers.get("content-encoding"), "gzip");
      assert.equal(await squeezed.text(), text);
      const plain = await fetch("http://nginx/moved", {
        socketPath,
        headers: { range: "bytes=0-14" },
      });
      assert.deepEqual(
        [plain.status, plain.redirected, await plain.text()],
        [206, true, "a line of text\n"],
      );
      assert.equal((await fetch("http://nginx/none", { socketPath })).status, 404);
      using proxy = reverseProxy({ upstreams: [{ url: "http://nginx", socketPath }] });
      await using front = await ours(proxy);
      const through = await globalThis.fetch(`${front.url}/page.txt`);
      assert.equal(through.headers.get("via"), "1.1 coronet");
      assert.equal(await through.text(), text);
    } finally {
      closeIdle();
      child.kill();
      await closed;
    }
  });
});
