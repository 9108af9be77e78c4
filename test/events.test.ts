// Server-sent events over a connection: how they begin, flow and end.
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { eventStream, events, lastEventId, type Server, serve } from "../src/http/index.ts";
import { dial, sleep } from "../src/index.ts";
import { RawClient } from "../testing/http_client.ts";
import { withLeakCheck } from "../testing/leaks.ts";

function test(name: string, body: (t: TestContext) => Promise<void>): void {
  it(name, (t) => withLeakCheck(t as TestContext, () => body(t as TestContext)));
}

/** A source that says what became of it. */
class Source {
  given = 0;
  ended = false;

  async *events(pause: number): AsyncGenerator<string> {
    try {
      for (;;) {
        yield `event ${++this.given}`;
        await sleep(pause);
      }
    } finally {
      this.ended = true;
    }
  }

  async end(): Promise<void> {
    while (!this.ended) await sleep(5);
  }
}

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

async function ask(server: Server): Promise<RawClient> {
  const client = await RawClient.to(server.addr);
  await client.send(GET);
  return client;
}

describe("a stream of events", () => {
  test("has the right head, and ends with its source", async () => {
    await using server = await serve("127.0.0.1:0", () =>
      eventStream(["one", { data: "two", id: "2" }], { headers: { "x-more": "yes" } }),
    );
    await using client = await ask(server);
    const response = await client.response();
    assert.equal(response?.headers.get("content-type"), "text/event-stream");
    assert.equal(response.headers.get("cache-control"), "no-cache");
    assert.equal(response.headers.get("x-more"), "yes");
    assert.equal(response.body, "data: one\n\nid: 2\ndata: two\n\n");
    const got: string[] = [];
    const fetched = await fetch(`http://${server.addr}/`);
    for await (const { data } of events(fetched)) got.push(data);
    assert.deepEqual(got, ["one", "two"]);
  });

  test("is returned to its source when the client leaves", async () => {
    const source = new Source();
    await using server = await serve("127.0.0.1:0", () => eventStream(source.events(1)));
    const stop = new AbortController();
    const response = await fetch(`http://${server.addr}/`, { signal: stop.signal });
    for await (const { data } of events(response)) if (data === "event 3") break;
    stop.abort();
    await source.end();
  });

  test("hears at once of a client that leaves when it has the request's signal", async () => {
    let ended = false;
    let left: () => void = () => {};
    const gone = new Promise<void>((resolve) => {
      left = resolve;
    });
    await using server = await serve("127.0.0.1:0", (request) => {
      request.signal.addEventListener("abort", () => left());
      async function* silent() {
        try {
          yield "only";
          await gone;
        } finally {
          ended = true;
        }
      }
      return eventStream(silent(), { signal: request.signal, keepAlive: null });
    });
    const client = await ask(server);
    await client.conn.read(new Uint8Array(1));
    await client.conn.close();
    await gone;
    while (!ended) await sleep(1);
  });

  test("sends comments while its source is silent, and notices a client that has gone", async () => {
    let given = 0;
    let speak: () => void = () => {};
    async function* silent() {
      yield `event ${++given}`;
      await new Promise<void>((resolve) => {
        speak = resolve;
      });
    }
    await using server = await serve("127.0.0.1:0", () => eventStream(silent(), { keepAlive: 5 }));
    const client = await ask(server);
    let text = "";
    const buffer = new Uint8Array(1000);
    while (text.split(":\n\n").length < 4) {
      const n = await client.conn.read(buffer);
      text += Buffer.from(buffer.subarray(0, n ?? 0)).toString();
    }
    assert.equal(given, 1);
    await client.conn.close();
    while (server.size > 0) await sleep(1);
    speak();
  });

  test("asks its source for no more than a slow client takes", async () => {
    const large = "x".repeat(65_536);
    let given = 0;
    function* endless() {
      for (;;) {
        given++;
        yield large;
      }
    }
    await using server = await serve("127.0.0.1:0", () => eventStream(endless()));
    await using conn = await dial("tcp", String(server.addr), { readBuffer: 4096 });
    await conn.write(GET);
    let before = -1;
    while (before !== given) {
      before = given;
      await sleep(50);
    }
    assert.ok(given < 500, `${given} events of 64 KiB`);
    await server.close();
  });

  test("that fails breaks the response off, and its source is returned", async () => {
    const errors: unknown[] = [];
    const onError = (error: unknown): void => void errors.push(error);
    let ended = false;
    function* bad() {
      try {
        yield "fine";
        yield { event: "not\none line" };
      } finally {
        ended = true;
      }
    }
    await using server = await serve("127.0.0.1:0", () => eventStream(bad()), { onError });
    const response = await fetch(`http://${server.addr}/`);
    const got: string[] = [];
    await assert.rejects(async () => {
      for await (const { data } of events(response)) got.push(data);
    });
    assert.deepEqual(got, ["fine"]);
    assert.ok(ended);
    assert.match(String(errors[0]), /event is not one line/);
  });

  test("begins where a client has left it", async () => {
    await using server = await serve("127.0.0.1:0", (request) =>
      eventStream([{ data: `after ${lastEventId(request)}` }]),
    );
    await using client = await RawClient.to(server.addr);
    const id = Buffer.from("é7").toString("latin1");
    await client.send(GET.replace("\r\n\r\n", `\r\nLast-Event-ID: ${id}\r\n\r\n`));
    const body = Buffer.from((await client.response())?.body ?? "", "latin1").toString();
    assert.equal(body, "data: after é7\n\n");
  });
});
