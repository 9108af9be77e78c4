// What a server of HTTP/1.1 does for its clients, and what it does not let them do.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { request as nodeRequest } from "node:http";
import { type AddressInfo, connect as nodeConnect } from "node:net";
import { describe, it, type TestContext } from "node:test";
import { promisify } from "node:util";
import {
  type Answer,
  type Handler,
  HTTPError,
  Request,
  type RequestInfo,
  Response,
  type ServeOptions,
  type Server,
  serve,
} from "../src/http/index.ts";
import { dial, listen, sleep } from "../src/index.ts";
import { socketFolder } from "../testing/conns.ts";
import { RawClient } from "../testing/http_client.ts";
import { withLeakCheck } from "../testing/leaks.ts";

const run = promisify(execFile);
const hello = (): Response => new Response("hello");

/** A server for one test, and a client of it. */
async function start(
  handler: Handler,
  options: ServeOptions = {},
): Promise<AsyncDisposable & { server: Server; client: RawClient; errors: unknown[] }> {
  const errors: unknown[] = [];
  const onError = (error: unknown): void => void errors.push(error);
  const server = await serve("127.0.0.1:0", handler, { onError, ...options });
  const client = await RawClient.to(server.addr);
  return {
    server,
    client,
    errors,
    async [Symbol.asyncDispose]() {
      await client.conn.close();
      await server.close();
    },
  };
}

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

function post(body: string, ...lines: string[]): string {
  const head = ["POST / HTTP/1.1", "Host: a", `Content-Length: ${body.length}`, ...lines];
  return `${head.join("\r\n")}\r\n\r\n${body}`;
}

/** A stream of these parts; the last one may be an error. */
function streamOf(...parts: (string | Error)[]): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream({
    pull(controller) {
      const part = parts.shift();
      if (part === undefined) controller.close();
      else if (typeof part === "string") controller.enqueue(encoder.encode(part));
      else controller.error(part);
    },
  });
}

interface Deferred<T> {
  promise: Promise<T>;
  resolve(value: T): void;
}

function deferred<T>(): Deferred<T> {
  let resolve: Deferred<T>["resolve"] = () => {};
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

function test(name: string, body: (t: TestContext) => Promise<void>): void {
  it(name, (t) => withLeakCheck(t as TestContext, () => body(t as TestContext)));
}

describe("connections", () => {
  test("one serves many requests, with a date and a length", async () => {
    await using s = await start(hello);
    for (let i = 0; i < 3; i++) {
      await s.client.send(GET);
      const response = await s.client.response();
      assert.equal(response?.status, 200);
      assert.equal(response.body, "hello");
      assert.equal(response.headers.get("content-type"), "text/plain;charset=UTF-8");
      assert.ok(Math.abs(Date.parse(response.headers.get("date") ?? "") - Date.now()) < 5_000);
      assert.equal(response.headers.has("connection"), false);
    }
  });

  test("end when the client asks for it", async () => {
    await using s = await start(hello);
    await s.client.send(GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n") + GET);
    const [first, ...others] = await s.client.responses();
    assert.equal(first?.headers.get("connection"), "close");
    assert.equal(others.length, 0);
  });

  test("end when the handler asks for it", async () => {
    await using s = await start(() => new Response("x", { headers: { connection: "close" } }));
    await s.client.send(GET + GET);
    const [first, ...others] = await s.client.responses();
    assert.equal(first?.headers.get("connection"), "close");
    assert.equal(others.length, 0);
  });

  test("of HTTP/1.0 end after one request, unless the client asks to keep them", async () => {
    await using s = await start(() => new Response(streamOf("a", "b")));
    await s.client.send("GET / HTTP/1.0\r\n\r\n");
    const response = await s.client.response();
    assert.equal(response?.body, "ab");
    assert.equal(response.headers.has("transfer-encoding"), false);

    await using kept = await start(hello);
    await kept.client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert.equal((await kept.client.response())?.headers.get("connection"), "keep-alive");
    await kept.client.send("GET / HTTP/1.0\r\n\r\n");
    assert.equal((await kept.client.responses()).length, 1);
  });

  test("answer pipelined requests in their order, one at a time", async () => {
    let running = 0;
    await using s = await start(async (_, info) => {
      assert.equal(++running, 1);
      await sleep(info.target === "/0" ? 20 : 1);
      running--;
      return new Response(info.target);
    });
    const targets = Array.from({ length: 50 }, (_, i) => `/${i}`);
    await s.client.send(targets.map((each) => GET.replace("/", each)).join(""));
    for (const target of targets) assert.equal((await s.client.response())?.body, target);
  });

  test("stop reading while responses are not taken", async () => {
    let served = 0;
    await using s = await start(() => {
      served++;
      return new Response("x".repeat(100_000));
    });
    const flood = s.client.send(GET.repeat(100_000)).catch(() => {});
    let before = -1;
    while (before !== served) {
      before = served;
      await sleep(50);
    }
    assert.ok(served < 1_000, `${served} responses were made for a client that reads none`);
    await s.client.conn.close();
    await flood;
  });

  test("end after a number of requests", async () => {
    await using s = await start(hello, { limits: { requests: 2 } });
    await s.client.send(GET.repeat(3));
    const responses = await s.client.responses();
    assert.deepEqual(
      responses.map(({ headers }) => headers.get("connection")),
      [undefined, "close"],
    );
  });

  test("beyond the limit wait in the kernel", async () => {
    await using s = await start(hello, { limits: { connections: 1 } });
    await s.client.send(GET);
    assert.equal((await s.client.response())?.status, 200);
    await using second = await RawClient.to(s.server.addr);
    await second.send(GET);
    await sleep(20);
    assert.equal(s.server.size, 1);
    await s.client.conn.close();
    assert.equal((await second.response())?.status, 200);
  });

  test("are closed when they are idle, and told 408 when a head takes too long", async () => {
    await using s = await start(hello, { limits: { idle: 30, headerTime: 30 } });
    assert.deepEqual(await s.client.responses(), []);
    await using slow = await RawClient.to(s.server.addr);
    await slow.send("GET / HT");
    assert.deepEqual(
      (await slow.responses()).map(({ status }) => status),
      [408],
    );
  });

  test("serve over a unix socket and over a listener", async () => {
    const listener = await listen("tcp", "127.0.0.1:0");
    await using server = await serve(listener, hello);
    await using client = await RawClient.to(server.addr);
    await client.send(GET);
    assert.equal((await client.response())?.body, "hello");
    await using folder = await socketFolder();
    await using local = await serve(folder.path("http.sock"), hello);
    await using near = new RawClient(await dial("unix", String(local.addr)));
    await near.send(GET);
    assert.equal((await near.response())?.body, "hello");
  });
});

describe("clients that mean harm", () => {
  test("with heads that never end delay nobody, and are gone in time", async () => {
    await using s = await start(hello, { limits: { headerTime: 300 } });
    const slow = await Promise.all(Array.from({ length: 200 }, () => RawClient.to(s.server.addr)));
    let sending = true;
    const trickle = async (client: RawClient): Promise<void> => {
      await client.send("GET / HTTP/1.1\r\nHost: a\r\nX: ");
      while (sending) {
        await sleep(20);
        await client.send("y");
      }
    };
    const trickles = slow.map((client) => trickle(client).catch(() => {}));
    await s.client.send(GET);
    assert.equal((await s.client.response())?.body, "hello");
    const verdicts = await Promise.all(slow.map((client) => client.responses().catch(() => [])));
    sending = false;
    await Promise.all(trickles);
    assert.ok(verdicts.flat().every(({ status }) => status === 408));
    assert.ok(verdicts.flat().length > 0);
    for (const client of slow) await client.conn.close();
    await s.client.send(GET);
    assert.equal((await s.client.response())?.body, "hello");
    assert.equal(s.server.size, 1);
  });

  test("with floods of headers and chunks hold little memory", async () => {
    await using s = await start(async (request) => new Response(await request.text()));
    const floods = [
      `GET / HTTP/1.1\r\nHost: a\r\n${"X: y\r\n".repeat(200_000)}`,
      `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${"1;x=yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\nz\r\n".repeat(50_000)}`,
      "\r\n".repeat(500_000),
    ];
    for (const flood of floods) {
      await using client = await RawClient.to(s.server.addr);
      const sent = client.send(flood).catch(() => {});
      const responses = await client.responses().catch(() => []);
      await sent;
      for (const { status } of responses) assert.ok(status === 431 || status === 400, `${status}`);
    }
    assert.deepEqual(s.errors, []);
  });

  test("with 5,000 pipelined requests get 5,000 answers", async () => {
    let count = 0;
    await using s = await start(() => new Response(String(count++)));
    const sent = s.client.send(GET.repeat(5_000));
    for (let i = 0; i < 5_000; i++) assert.equal((await s.client.response())?.body, String(i));
    await sent;
  });
});

describe("requests", () => {
  test("have what the standard's have", async () => {
    let seen: Request | undefined;
    await using s = await start((request) => {
      seen = request;
      return hello();
    });
    await s.client.send(
      "GET /a/../b?c=%20 HTTP/1.1\r\nHost: Example.com:80\r\nX-A: 1\r\nx-a: 2\r\nCookie: a\r\n\r\n",
    );
    await s.client.response();
    assert.ok(seen instanceof Request && seen instanceof globalThis.Request);
    assert.equal(seen.method, "GET");
    assert.equal(seen.url, "http://example.com/b?c=%20");
    assert.equal(seen.headers.get("X-a"), "1, 2");
    assert.equal(seen.headers.has("cookie"), true);
    assert.equal(seen.headers.get("nope"), null);
    assert.deepEqual([...seen.headers.keys()], ["cookie", "host", "x-a"]);
    assert.equal(seen.body, null);
    assert.equal(await seen.text(), "");
  });

  test("have their body as text, json, bytes, a stream, a form; once", async () => {
    const readers: Record<string, (request: Request) => Promise<unknown>> = {
      text: (request) => request.text(),
      json: (request) => request.json(),
      bytes: async (request) => Buffer.from(await request.bytes()).toString(),
      arrayBuffer: async (request) => Buffer.from(await request.arrayBuffer()).toString(),
      blob: async (request) => await (await request.blob()).text(),
      form: async (request) => [...(await request.formData())],
      stream: async (request) => {
        const parts: Uint8Array[] = [];
        for await (const part of request.body ?? []) parts.push(part);
        return Buffer.concat(parts).toString();
      },
      clone: async (request) => {
        const copy = request.clone();
        return [await copy.text(), await request.text()];
      },
      twice: async (request) => {
        await request.text();
        assert.equal(request.bodyUsed, true);
        return await request.text().catch((error: Error) => error.name);
      },
    };
    await using s = await start(async (request, info) => {
      const reader = readers[info.target.slice(1)];
      return Response.json(await reader?.(request));
    });
    const ask = async (name: string, body: string, type = "text/plain"): Promise<unknown> => {
      await s.client.send(post(body, `Content-Type: ${type}`).replace("/", `/${name}`));
      return JSON.parse((await s.client.response())?.body ?? "");
    };
    for (const name of ["text", "bytes", "arrayBuffer", "blob", "stream"]) {
      assert.equal(await ask(name, "hello"), "hello", name);
    }
    assert.deepEqual(await ask("json", '{"a":1}'), { a: 1 });
    const form = await ask("form", "a=1&b=2", "application/x-www-form-urlencoded");
    assert.deepEqual(form, [
      ["a", "1"],
      ["b", "2"],
    ]);
    assert.deepEqual(await ask("clone", "hello"), ["hello", "hello"]);
    assert.equal(await ask("twice", "hello"), "TypeError");
  });

  test("of 1 MiB arrive whole, declared or in chunks, with trailers", async () => {
    const megabyte = "0123456789abcdef".repeat(65_536);
    await using s = await start(async (request, info) => {
      const body = await request.text();
      return new Response(`${body === megabyte} ${info.trailers.get("x-sum")}`);
    });
    await s.client.send(post(megabyte));
    assert.equal((await s.client.response())?.body, "true null");
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (let at = 0, size = 1; at < megabyte.length; at += size, size = (size * 7) % 50_021) {
      const part = megabyte.slice(at, at + size);
      chunked += `${part.length.toString(16)}\r\n${part}\r\n`;
    }
    await s.client.send(`${chunked}0\r\nX-Sum: 42\r\n\r\n`);
    assert.equal((await s.client.response())?.body, "true 42");
  });

  test("are told to go on only when their body is asked for", async () => {
    await using s = await start(async (request, info) =>
      info.target === "/no" ? hello() : new Response(await request.text()),
    );
    const head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    await s.client.send(head);
    assert.equal((await s.client.response())?.status, 100);
    await s.client.send("hi");
    assert.equal((await s.client.response())?.body, "hi");
    await s.client.send(head.replace("/", "/no"));
    const [response, ...others] = await s.client.responses();
    assert.equal(response?.headers.get("connection"), "close");
    assert.equal(others.length, 0);
  });

  test("whose body nobody reads are followed by the next one, or by the end", async () => {
    await using s = await start(hello, { limits: { unread: 100_000 } });
    await s.client.send(post("x".repeat(90_000)) + GET);
    assert.equal((await s.client.response())?.status, 200);
    assert.equal((await s.client.response())?.status, 200);
    await s.client.send(post("x".repeat(5_000_000)) + GET).catch(() => {});
    const [response, ...others] = await s.client.responses().catch(() => []);
    if (response !== undefined) assert.equal(response.headers.get("connection"), "close");
    assert.equal(others.length, 0);
  });

  test("that are too large, malformed or too slow fail where they are read", async () => {
    const codes: string[] = [];
    const limits = { body: 1_000, bodyRate: 1_000_000_000 };
    const read: Handler = async (request): Promise<Answer> => {
      try {
        return new Response(await request.text());
      } catch (error) {
        codes.push((error as HTTPError).code);
        throw error;
      }
    };
    await using s = await start(read, { limits });
    const chunks = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    const ask = async (...parts: string[]): Promise<(number | undefined)[]> => {
      await using client = await RawClient.to(s.server.addr);
      for (const part of parts) {
        await client.send(part);
        await sleep(5);
      }
      return (await client.responses()).map(({ status }) => status);
    };
    const part = `1f4\r\n${"x".repeat(500)}\r\n`;
    assert.deepEqual(await ask(chunks, part, part, part), [413]);
    assert.deepEqual(await ask(chunks, part, "what"), [400]);
    assert.deepEqual(codes, ["ERR_BODY_TOO_LARGE", "ERR_BODY_MALFORMED"]);
    assert.deepEqual(s.errors, []);
  });

  test("that break off fail where they are read", async () => {
    const failed = deferred<unknown>();
    await using s = await start(async (request) => {
      await request.text().catch(failed.resolve);
      return hello();
    });
    await s.client.send(post("hello").slice(0, -2));
    await s.client.conn.close();
    const error = (await failed.promise) as HTTPError;
    assert.ok(error instanceof HTTPError);
    assert.equal(error.code, "ERR_BODY_ABORTED");
  });

  test("that are over give their body to nobody", async () => {
    let kept: Request | undefined;
    await using s = await start((request) => {
      kept ??= request;
      return hello();
    });
    await s.client.send(post("secret".repeat(20_000)));
    await s.client.response();
    await s.client.send(GET);
    await s.client.response();
    await assert.rejects(async () => await kept?.text(), { code: "ERR_BODY_OVER" });
  });

  test("whose host is none after all are 400 once their url is asked for", async () => {
    await using s = await start((request) => new Response(request.url));
    await s.client.send("GET / HTTP/1.1\r\nHost: 999.999.999.999\r\n\r\n");
    assert.equal((await s.client.response())?.status, 400);
    assert.deepEqual(s.errors, []);
  });

  test("that are over have a context that has ended, and harm no other's", async () => {
    const infos: RequestInfo[] = [];
    const ended: unknown[] = [];
    await using s = await start((_, info) => {
      infos.push(info);
      ended.push(infos[0]?.context.err === undefined, info.context.err === undefined);
      return hello();
    });
    await s.client.send(GET + GET);
    await s.client.response();
    await s.client.response();
    assert.deepEqual(ended, [true, true, false, true]);
  });

  test("end their context when the client leaves, and when they are answered", async () => {
    const left = deferred<void>();
    let after: AbortSignal | undefined;
    await using s = await start(async (request, info) => {
      if (info.target === "/quick") {
        after = request.signal;
        assert.equal(after.aborted, false);
        return hello();
      }
      const { signal } = info.context;
      if (!signal.aborted) await once(signal, "abort");
      left.resolve();
      return hello();
    });
    await s.client.send(GET.replace("/", "/quick") + GET.replace("/", "/quick"));
    await s.client.response();
    assert.equal((await s.client.response())?.body, "hello");
    assert.equal(after?.aborted, true);
    await s.client.send(GET);
    await sleep(5);
    await s.client.conn.close();
    await left.promise;
  });
});

describe("responses", () => {
  test("of every kind of body arrive as they are", async () => {
    const kinds: Record<string, () => Answer> = {
      empty: () => new Response(),
      text: () => new Response("grün"),
      bytes: () => new Response(new TextEncoder().encode("bytes")),
      large: () => new Response(new Uint8Array(3_000_000).fill(120)),
      stream: () => new Response(streamOf("a", "", "b".repeat(100_000))),
      sized: () => new Response(streamOf("ab", "cd"), { headers: { "content-length": "4" } }),
      global: () => new globalThis.Response("global", { headers: { "x-a": "b" } }),
      json: () => Response.json({ a: 1 }, { status: 201 }),
      form: () => new Response(new URLSearchParams({ a: "1" })),
      blob: () => new Response(new Blob(["blob"], { type: "text/x" })),
      iterable: () =>
        new Response(
          (async function* () {
            yield "a";
            yield new Uint8Array([98]);
          })(),
        ),
    };
    await using s = await start((_, info) => kinds[info.target.slice(1)]?.());
    const ask = async (name: string) => {
      await s.client.send(GET.replace("/", `/${name}`));
      const response = await s.client.response();
      assert.ok(response !== undefined);
      return response;
    };
    const body = async (name: string) => (await ask(name)).body;
    assert.equal((await ask("empty")).headers.get("content-length"), "0");
    assert.equal(Buffer.from(await body("text"), "latin1").toString(), "grün");
    assert.equal(await body("bytes"), "bytes");
    assert.equal(await body("large"), "x".repeat(3_000_000));
    assert.equal(await body("stream"), `a${"b".repeat(100_000)}`);
    const sized = await ask("sized");
    assert.deepEqual(
      [sized.body, sized.headers.get("content-length"), sized.headers.get("transfer-encoding")],
      ["abcd", "4", undefined],
    );
    const global = await ask("global");
    assert.deepEqual([global.body, global.headers.get("x-a")], ["global", "b"]);
    const json = await ask("json");
    assert.deepEqual(
      [json.status, json.phrase, json.body, json.headers.get("content-type")],
      [201, "Created", '{"a":1}', "application/json"],
    );
    assert.equal(await body("form"), "a=1");
    assert.equal((await ask("blob")).headers.get("content-type"), "text/x");
    assert.equal(await body("iterable"), "ab");
    assert.deepEqual(s.errors, []);
  });

  test("to HEAD, and of 204 and 304, have no body", async () => {
    await using s = await start((_, info) => {
      const status = Number(info.target.slice(1));
      return new Response(status === 200 ? "hello" : null, { status });
    });
    await s.client.send("HEAD /200 HTTP/1.1\r\nHost: a\r\n\r\n");
    const head = await s.client.response("HEAD");
    assert.equal(head?.headers.get("content-length"), "5");
    await s.client.send(GET.replace("/", "/205"));
    assert.equal((await s.client.response())?.headers.get("content-length"), "0");
    for (const status of [204, 304]) {
      await s.client.send(GET.replace("/", `/${status}`));
      const response = await s.client.response();
      assert.equal(response?.status, status);
      assert.equal(response.headers.has("content-length"), false);
    }
    await s.client.send(GET.replace("/", "/200"));
    assert.equal((await s.client.response())?.body, "hello");
  });

  test("whose length is not what was said fail, and are not taken for whole", async () => {
    const said = { headers: { "content-length": "4" } };
    const kinds: Record<string, () => Response> = {
      text: () => new Response("12345", said),
      more: () => new Response(streamOf("123", "45"), said),
      less: () => new Response(streamOf("123"), said),
      error: () => new Response(streamOf("123", new Error("oops"))),
    };
    await using s = await start((_, info) => kinds[info.target.slice(1)]?.());
    await s.client.send(GET.replace("/", "/text"));
    assert.equal((await s.client.response())?.status, 500);
    for (const name of ["more", "less", "error"]) {
      await using client = await RawClient.to(s.server.addr);
      await client.send(GET.replace("/", `/${name}`));
      await assert.rejects(client.responses());
    }
    assert.equal(s.errors.length, 4);
  });

  test("cannot be split by what is in a header", async () => {
    await using s = await start((request) => {
      const value = decodeURIComponent(new URL(request.url).search.slice(1));
      return new Response("x", { headers: { "x-a": value } });
    });
    for (const value of ["a%0d%0aSet-Cookie:b", "a%0ab", "a%00b", "%e2%82%ac"]) {
      await s.client.send(GET.replace("/", `/?${value}`));
      const response = await s.client.response();
      assert.equal(response?.status, 500);
      assert.equal(response.headers.has("set-cookie"), false);
    }
    assert.throws(() => new Response("", { headers: { "a b": "c" } }), TypeError);
    assert.throws(() => new Response("", { statusText: "a\r\nb" }), TypeError);
  });

  test("of a handler that fails are 500, and are reported", async () => {
    await using s = await start((_, info) => {
      if (info.target === "/throw") throw new Error("oops");
      if (info.target === "/reject") return Promise.reject(new Error("oops"));
      if (info.target === "/string") return "hello" as unknown as Response;
      return hello();
    });
    for (const name of ["throw", "reject", "string"]) {
      await s.client.send(GET.replace("/", `/${name}`));
      assert.equal((await s.client.response())?.status, 500, name);
    }
    assert.equal(s.errors.length, 3);
    await s.client.send(GET);
    assert.equal((await s.client.response())?.body, "hello");
  });

  test("to a reader that is slow wait for it", async () => {
    let made = 0;
    const endless = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          made++;
          controller.enqueue(new Uint8Array(65_536));
        },
      },
      { highWaterMark: 0 },
    );
    await using s = await start(() => new Response(endless));
    await s.client.send(GET);
    let before = -1;
    while (before !== made) {
      before = made;
      await sleep(50);
    }
    assert.ok(made < 500, `${made} chunks were made for a reader that takes none`);
  });

  test("to a client that resets end their stream, and harm nobody else", async () => {
    const canceled = deferred<void>();
    await using s = await start((_, info) =>
      info.target === "/small"
        ? hello()
        : new Response(
            new ReadableStream({
              pull: (controller) => controller.enqueue(new Uint8Array(65_536)),
              cancel: () => canceled.resolve(),
            }),
          ),
    );
    const socket = nodeConnect(Number(String(s.server.addr).split(":").at(-1)), "127.0.0.1");
    socket.write(GET);
    await once(socket, "data");
    socket.resetAndDestroy();
    await canceled.promise;
    await s.client.send(GET.replace("/", "/small"));
    assert.equal((await s.client.response())?.body, "hello");
    assert.deepEqual(s.errors, []);
  });
});

describe("other protocols", () => {
  test("take the connection over with the bytes that came already", async () => {
    await using s = await start(async (_, info) => {
      await using conn = await info.upgrade({ "x-a": "b" });
      for await (const chunk of conn) await conn.write(Buffer.from(chunk).toString().toUpperCase());
      return undefined;
    });
    await s.client.send(
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: shout, other\r\n\r\nhello",
    );
    const response = await s.client.response();
    assert.equal(response?.status, 101);
    assert.equal(response.headers.get("upgrade"), "shout");
    assert.equal(response.headers.get("x-a"), "b");
    await s.client.send(", world");
    await s.client.conn.closeWrite();
    assert.equal(await s.client.rest(), "HELLO, WORLD");
    assert.equal(s.server.size, 0);
  });

  test("begin with CONNECT, too", async () => {
    await using s = await start(async (_, info) => {
      if (info.target === "no:1") return new Response("no", { status: 403 });
      await using conn = await info.upgrade();
      for await (const chunk of conn) await conn.write(chunk);
      return undefined;
    });
    await s.client.send("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\nhello");
    await s.client.conn.closeWrite();
    const text = await s.client.rest();
    assert.match(text, /^HTTP\/1\.1 200 Connection Established\r\n\r\nhello$/);
    await using refused = await RawClient.to(s.server.addr);
    await refused.send(`CONNECT no:1 HTTP/1.1\r\nHost: no:1\r\n\r\n${GET}`);
    assert.deepEqual(
      (await refused.responses()).map(({ status }) => status),
      [403],
    );
  });

  test("that are not taken up leave the connection HTTP's", async () => {
    await using s = await start(async (_, info) => {
      if (info.target === "/plain") await info.upgrade();
      return hello();
    });
    await s.client.send(GET.replace("\r\n\r\n", "\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"));
    assert.equal((await s.client.response())?.status, 200);
    await s.client.send(GET.replace("/", "/plain"));
    assert.equal((await s.client.response())?.status, 500);
    assert.equal(s.errors.length, 1);
  });
});

describe("a server", () => {
  test("that is shut down answers what it is at, and closes what is idle", async () => {
    const asked = deferred<void>();
    const answer = deferred<Response>();
    const server = await serve("127.0.0.1:0", (_, info) => {
      if (info.target !== "/slow") return hello();
      asked.resolve();
      return answer.promise;
    });
    await using idle = await RawClient.to(server.addr);
    await using busy = await RawClient.to(server.addr);
    await idle.send(GET);
    await idle.response();
    await busy.send(GET.replace("/", "/slow"));
    await asked.promise;
    const done = server.shutdown();
    assert.equal(await idle.response(), undefined);
    answer.resolve(hello());
    const response = await busy.response();
    assert.equal(response?.headers.get("connection"), "close");
    assert.equal(await busy.response(), undefined);
    await done;
    await assert.rejects(RawClient.to(server.addr));
  });

  test("that is shut down closes at the deadline what is not done", async () => {
    let aborted = false;
    const server = await serve("127.0.0.1:0", async (request) => {
      await once(request.signal, "abort");
      aborted = true;
      return hello();
    });
    await using client = await RawClient.to(server.addr);
    await client.send(GET);
    await sleep(10);
    await server.shutdown({ deadline: new Date(Date.now() + 30) });
    assert.equal(aborted, true);
    assert.equal(server.size, 0);
  });

  test("goes on when it's told to shut down at what is no date", async () => {
    await using s = await start(hello);
    const wrong = { deadline: 1_000 } as unknown as { deadline: Date };
    await assert.rejects(s.server.shutdown(wrong), /expected a Date/);
    const response = await fetch(`http://${s.server.addr}/`);
    assert.equal(response.status, 200);
  });

  test("refuses what is no limit", async () => {
    const limits = { body: -1 };
    await assert.rejects(serve("127.0.0.1:0", hello, { limits }), RangeError);
    const unknown = { bodies: 1 } as object;
    await assert.rejects(serve("127.0.0.1:0", hello, { limits: unknown }), TypeError);
  });

  test("is understood by curl", async (t) => {
    await using s = await start(async (request) => new Response(request.body));
    const url = `http://${s.server.addr}/`;
    const curl = (...args: string[]) => run("curl", ["-sS", "--max-time", "5", ...args, url]);
    try {
      await curl("--version");
    } catch {
      return t.skip("curl is not installed");
    }
    assert.equal((await curl("-d", "hello")).stdout, "hello");
    const large = "x".repeat(100_000);
    assert.equal((await curl("-d", large)).stdout, large);
    assert.equal((await curl("-d", large, "-H", "Transfer-Encoding: chunked")).stdout, large);
    assert.equal((await curl("-0", "-d", "hello")).stdout, "hello");
    assert.match((await curl("-I")).stdout, /^HTTP\/1\.1 200 OK\r\n/);
  });

  test("is understood by node:http", async () => {
    await using s = await start(async (request) => new Response(request.body));
    const { port } = { port: Number(String(s.server.addr).split(":").at(-1)) } as AddressInfo;
    const outgoing = nodeRequest({ port, method: "POST" });
    outgoing.write("a");
    outgoing.end("b");
    const [incoming] = await once(outgoing, "response");
    let text = "";
    for await (const chunk of incoming) text += chunk;
    assert.equal(text, "ab");
    outgoing.destroy();
  });
});
