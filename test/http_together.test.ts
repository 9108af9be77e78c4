// Requests that come together: their responses come in their order, with few writes, and none of them waits for
// a handler that does.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Handler, Response, serve } from "../src/http/index.ts";
import { RawClient } from "../testing/http_client.ts";
import { answersOf, converse } from "./http_memory.ts";

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;

describe("requests that come together", () => {
  const handlers: Record<string, Handler> = {
    "at once": (_, info) => new Response(info.target),
    "in a microtask": async (_, info) => new Response(info.target),
    "in another turn": async (_, info) => {
      await new Promise((resolve) => setImmediate(resolve));
      return new Response(info.target);
    },
    "in every way": (_, info) => {
      const n = Number(info.target.slice(1));
      if (n % 5 === 0) return new Response(new Blob([info.target]).stream());
      if (n % 5 === 1) return new Response(Buffer.from(info.target));
      if (n % 5 === 2) return new Response(info.target.padEnd(40_000, " "));
      return n % 5 === 3 ? Promise.resolve(new Response(info.target)) : new Response(info.target);
    },
  };

  for (const [name, handler] of Object.entries(handlers)) {
    it(`are answered in their order by a handler that answers ${name}`, async () => {
      const paths = Array.from({ length: 300 }, (_, i) => `/${i}`);
      const text = await converse(handler, [paths.map(get).join("")]);
      if (name === "in every way") {
        const seen = [...text.matchAll(/^\/(\d+)\s*?(?:\r?$|HTTP)/gm)].map(([, n]) => Number(n));
        for (let i = 1; i < seen.length; i++) assert.ok(Number(seen[i]) > Number(seen[i - 1]));
        assert.match(text, /\/299$/);
        return;
      }
      assert.deepEqual(
        answersOf(text).map(({ body }) => body),
        paths,
      );
    });
  }

  it("get their responses although the handler of the next one waits", async () => {
    let release = () => {};
    const waiting = new Promise<void>((resolve) => {
      release = resolve;
    });
    await using server = await serve("127.0.0.1:0", async (_, info) => {
      if (info.target === "/wait") await waiting;
      return new Response(info.target);
    });
    await using client = await RawClient.to(server.addr);
    await client.send(get("/a") + get("/b") + get("/wait") + get("/c"));
    assert.equal((await client.response())?.body, "/a");
    assert.equal((await client.response())?.body, "/b");
    release();
    assert.equal((await client.response())?.body, "/wait");
    assert.equal((await client.response())?.body, "/c");
  });

  it("get their responses although the next one is not complete", async () => {
    await using server = await serve("127.0.0.1:0", async (request, info) => {
      return new Response(info.target + (await request.text()));
    });
    await using client = await RawClient.to(server.addr);
    await client.send(`${get("/a")}POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx`);
    assert.equal((await client.response())?.body, "/a");
    await client.send("yGET /c HTTP/1.1\r\nHo");
    assert.equal((await client.response())?.body, "/bxy");
    await client.send("st: a\r\n\r\n");
    assert.equal((await client.response())?.body, "/c");
  });

  it("mean the same the second and the third time, under other limits too", async () => {
    const head = "GET /abcdefghij HTTP/1.1\r\nHost: a\r\nX: y\r\nZ: z\r\n\r\n";
    const told: Handler = (request, info) =>
      new Response(`${info.target} ${[...request.headers].join(" ")}`);
    for (const [url, status] of [
      [100, 200],
      [5, 414],
      [100, 200],
    ] as const) {
      await using server = await serve("127.0.0.1:0", told, { limits: { url } });
      for (let i = 0; i < 4; i++) {
        await using client = await RawClient.to(server.addr);
        await client.send(head);
        const response = await client.response();
        assert.equal(response?.status, status);
        if (status === 200) assert.equal(response?.body, "/abcdefghij host,a x,y z,z");
      }
    }
  });
});

describe("a word before the body", () => {
  const expecting =
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";

  it("stands before the head of a response that is made of the body", async () => {
    const echo: Handler = (request) => new Response(request.body);
    const text = await converse(echo, [expecting, "hi", get("/")]);
    assert.match(text, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
    assert.equal(text.match(/100 Continue/g)?.length, 1);
    assert.match(text, /2\r\nhi\r\n0\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
  });

  it("is never said behind a response that does without it", async () => {
    const text = await converse(() => new Response("no"), [expecting]);
    assert.equal(answersOf(text).length, 1);
    assert.doesNotMatch(text, /100 Continue/);
    assert.match(text, /connection: close/);
  });
});
