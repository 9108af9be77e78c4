/** diagnostics.test.ts: operations on node:diagnostics_channel, from their start to their end or error. */
import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { tracingChannel } from "node:diagnostics_channel";
import { describe, type TestContext, test } from "node:test";
import { publishDiagnostics } from "../src/debug/index.ts";
import { fetch, Response, serve } from "../src/http/index.ts";
import { dial, listen, pipe } from "../src/index.ts";
import { traced } from "../src/runtime/traced.ts";

type Message = Record<string, unknown>;

/** What is published on a channel, in order. */
function heard(t: TestContext, name: string): { events: string[]; messages: Message[] } {
  const events: string[] = [];
  const messages: Message[] = [];
  const note = (event: string) => (message: unknown) => {
    events.push(event);
    if (event === "start") messages.push(message as Message);
  };
  const channel = tracingChannel(`coronet:${name}`);
  const names = ["start", "end", "asyncStart", "asyncEnd", "error"] as const;
  const subscribers = Object.fromEntries(names.map((each) => [each, note(each)])) as never;
  channel.subscribe(subscribers);
  t.after(() => channel.unsubscribe(subscribers));
  return { events, messages };
}

const WHOLE = ["start", "end", "asyncStart", "asyncEnd"];
const FAILED = ["start", "end", "error", "asyncStart", "asyncEnd"];

describe("diagnostics", () => {
  test("tell of connect, accept, read and write, and of their results", async (t) => {
    const stop = publishDiagnostics();
    t.after(stop);
    const names = ["connect", "accept", "read", "write"] as const;
    const [connects, accepts, reads, writes] = names.map((name) => heard(t, name)) as never as [
      ReturnType<typeof heard>,
      ReturnType<typeof heard>,
      ReturnType<typeof heard>,
      ReturnType<typeof heard>,
    ];
    await using listener = await listen("tcp", "127.0.0.1:0");
    const address = String(listener.addr);
    const [client, server] = await Promise.all([dial("tcp", address), listener.accept()]);
    assert.deepEqual(connects.events, WHOLE);
    assert.deepEqual(connects.messages, [{ network: "tcp", address, result: client }]);
    assert.deepEqual(accepts.events, WHOLE);
    assert.deepEqual(accepts.messages, [{ listener, result: server }]);

    await client.write("hello");
    await client.writev(["a", "bc"]);
    assert.deepEqual(
      writes.messages.map(({ bytes, result }) => [bytes, result]),
      [
        [5, 5],
        [3, 3],
      ],
    );
    assert.equal(await server.read(new Uint8Array(5)), 5);
    for await (const chunk of server) {
      assert.equal(String(chunk), "97,98,99");
      break;
    }
    assert.deepEqual(reads.events, [...WHOLE, ...WHOLE]);
    assert.equal(reads.messages[0]?.conn, server);
    assert.equal(reads.messages[0]?.result, 5);
    await client.close();
    await server.close();
  });

  test("tell of errors, and leave them to the caller", async (t) => {
    t.after(publishDiagnostics());
    const connects = heard(t, "connect");
    const reads = heard(t, "read");
    const listener = await listen("tcp", "127.0.0.1:0");
    const address = String(listener.addr);
    await listener.close();
    await assert.rejects(dial("tcp", address), { code: "ECONNREFUSED" });
    assert.deepEqual(connects.events, FAILED);
    assert.equal(
      (connects.messages[0]?.error as { code?: string } | undefined)?.code,
      "ECONNREFUSED",
    );
    const [a, b] = pipe();
    await a.close();
    await b.close();
    await assert.rejects(a.read(new Uint8Array(1)), { code: "ERR_CLOSED" });
    assert.deepEqual(reads.events, FAILED);
  });

  test("tell of requests of servers and clients; headers can be added to those", async (t) => {
    t.after(publishDiagnostics());
    const requests = heard(t, "request");
    const fetches = heard(t, "fetch");
    const add = {
      start(message: unknown) {
        (message as { addHeader(name: string, value: string): void }).addHeader("x-trace", "7");
      },
    } as never;
    const channel = tracingChannel("coronet:fetch");
    channel.subscribe(add);
    t.after(() => channel.unsubscribe(add));
    await using server = await serve(
      "127.0.0.1:0",
      (request) => {
        if (request.url.endsWith("/fail")) throw new Error("told to");
        return new Response(request.headers.get("x-trace"));
      },
      { onError: () => {} },
    );
    const url = `http://${server.addr}/`;
    const response = await fetch(url);
    assert.equal(await response.text(), "7");
    assert.deepEqual(requests.events, WHOLE);
    assert.deepEqual(fetches.events, WHOLE);
    const [{ method, url: called, result } = {}] = fetches.messages;
    assert.deepEqual([method, called, result], ["GET", url, response]);
    const [{ request, info } = {}] = requests.messages;
    assert.equal((request as Request).url, url);
    assert.ok(info !== undefined);
    requests.events.length = 0;
    assert.equal((await fetch(`${url}fail`)).status, 500);
    assert.deepEqual(requests.events, FAILED);
  });

  test("run an operation in the store that is bound to its start", async (t) => {
    t.after(publishDiagnostics());
    const als = new AsyncLocalStorage<string>();
    const { start } = tracingChannel<string, { request: Request }>("coronet:request");
    start.bindStore(als, ({ request }) => new URL(request.url).pathname);
    t.after(() => start.unbindStore(als));
    await using server = await serve("127.0.0.1:0", async () => {
      await new Promise((resolve) => setImmediate(resolve));
      return new Response(als.getStore());
    });
    for (const path of ["/a", "/b"]) {
      assert.equal(await (await fetch(`http://${server.addr}${path}`)).text(), path);
    }
    assert.equal(als.getStore(), undefined);
  });

  test("are not published without subscribers, and end when nobody needs them", async (t) => {
    const first = publishDiagnostics();
    const second = publishDiagnostics();
    const [a, b] = pipe();
    await a.write("x");
    const writes = heard(t, "write");
    await a.write("x");
    assert.deepEqual(writes.events, WHOLE);
    first();
    first();
    await a.write("x");
    assert.equal(writes.events.length, 8);
    second();
    await a.write("x");
    assert.equal(writes.events.length, 8);
    assert.deepEqual(new Set(Object.values(traced)), new Set([null]));
    await a.close();
    await b.close();
  });
});
