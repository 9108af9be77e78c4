// WebSockets and events with programs of others: ws's client and server, ws's own upgrade, a browser.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it, type TestContext } from "node:test";
import { chromium } from "playwright-core";
import { WebSocket, WebSocketServer } from "ws";
import {
  dialWebSocket,
  eventStream,
  type Handler,
  lastEventId,
  Response,
  type ServerSentEvent,
  serve,
  upgradeWebSocket,
} from "../src/http/index.ts";
import { sleep, toDuplex } from "../src/index.ts";
import { withLeakCheck } from "../testing/leaks.ts";

const CHROMIUM = "/usr/bin/chromium";

function test(name: string, body: (t: TestContext) => Promise<void>): void {
  it(name, (t) => withLeakCheck(t as TestContext, () => body(t as TestContext)));
}

function once(socket: WebSocket, event: string): Promise<unknown[]> {
  return new Promise((resolve, reject) => {
    socket.once(event, (...args: unknown[]) => resolve(args));
    if (event !== "error") socket.once("error", reject);
  });
}

const deflate = { perMessageDeflate: { threshold: 0 } };

describe("ws", () => {
  for (const options of [{}, deflate]) {
    const how = "perMessageDeflate" in options ? ", compressed" : "";

    test(`its client talks to our server${how}`, async () => {
      await using server = await serve("127.0.0.1:0", async (request, info) => {
        const socket = await upgradeWebSocket(request, info, { ...options, protocols: ["echo"] });
        for await (const message of socket) await socket.send(message);
        assert.equal(socket.closeCode, 4000);
        await socket.close();
        return undefined;
      });
      const client = new WebSocket(`ws://${server.addr}`, ["echo"], {
        perMessageDeflate: how !== "",
      });
      await once(client, "open");
      assert.equal(client.protocol, "echo");
      assert.equal(client.extensions, how === "" ? "" : "permessage-deflate");
      for (const message of ["hello", "é".repeat(40_000), Buffer.alloc(200_000, 7)]) {
        const echoed = once(client, "message");
        client.send(message);
        const [data, isBinary] = (await echoed) as [Buffer, boolean];
        assert.equal(isBinary, typeof message !== "string");
        assert.deepEqual(isBinary ? data : String(data), message);
      }
      const pong = once(client, "pong");
      client.ping("are you there");
      assert.equal(String((await pong)[0]), "are you there");
      const closed = once(client, "close");
      client.close(4000, "done");
      assert.equal((await closed)[0], 4000);
    });

    test(`its server talks to our client${how}`, async () => {
      const plain = createServer();
      const sockets = new WebSocketServer({ server: plain, ...options });
      sockets.on("connection", (socket) => {
        socket.on("message", (message, isBinary) => {
          if (String(message) === "bye") socket.close(4001, "bye");
          else socket.send(message, { binary: isBinary });
        });
      });
      await new Promise<void>((resolve) => plain.listen(0, "127.0.0.1", resolve));
      const { port } = plain.address() as AddressInfo;
      {
        await using client = await dialWebSocket(`ws://127.0.0.1:${port}/`, options);
        async function* parts() {
          yield "one ";
          yield "message";
        }
        for (const message of ["hello", "é".repeat(40_000), new Uint8Array(200_000).fill(7)]) {
          await client.send(message);
          assert.deepEqual(await client.receive(), message);
        }
        await client.send(parts());
        assert.equal(await client.receive(), "one message");
        await client.send("bye");
        assert.equal(await client.receive(), null);
        assert.deepEqual([client.closeCode, client.closeReason], [4001, "bye"]);
      }
      sockets.close();
      await new Promise((resolve) => plain.close(resolve));
    });
  }

  test("its own upgrade works on a connection that is handed over to it", async () => {
    const sockets = new WebSocketServer({ noServer: true });
    const handler: Handler = async (request, info) => {
      // ws checks the request and writes the response by itself.
      const { method, headers } = request;
      const message = { method, url: info.target, headers: Object.fromEntries(headers) };
      const stream = toDuplex(await info.upgrade(null));
      sockets.handleUpgrade(message as IncomingMessage, stream, Buffer.alloc(0), (socket) => {
        socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
      });
      return undefined;
    };
    await using server = await serve("127.0.0.1:0", handler);
    const client = await dialWebSocket(`ws://${server.addr}/`);
    await client.send("over a stream");
    assert.equal(await client.receive(), "over a stream");
    await client.close();
    assert.equal(client.closeCode, 1000);
  });
});

const PAGE = `<!doctype html><title>page</title><script>
function sockets() {
  return new Promise((resolve, reject) => {
    const heard = [];
    const socket = new WebSocket("ws://" + location.host + "/socket", ["echo"]);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      socket.send("hello");
      socket.send(new Uint8Array([1, 2, 3]));
      socket.send("x".repeat(100000));
    };
    socket.onerror = reject;
    socket.onmessage = ({ data }) => {
      heard.push(typeof data === "string" ? data.length : [...new Uint8Array(data)]);
      if (heard.length === 3) socket.close(4000, "seen");
    };
    socket.onclose = ({ code, wasClean }) =>
      resolve({ heard, code, wasClean, protocol: socket.protocol, extensions: socket.extensions });
  });
}
function events() {
  return new Promise((resolve) => {
    const heard = [];
    const source = new EventSource("/events");
    const hear = ({ type, data, lastEventId }) => {
      heard.push([type, data, lastEventId]);
      if (heard.length === 4) {
        source.close();
        resolve(heard);
      }
    };
    source.onmessage = hear;
    source.addEventListener("more", hear);
  });
}
</script>`;

describe("a browser", () => {
  const skip = existsSync(CHROMIUM) ? false : `there is no ${CHROMIUM}`;

  it("echoes over a WebSocket, and connects again for events", { skip }, async () => {
    const returned: string[] = [];
    async function* source(last: string): AsyncGenerator<ServerSentEvent | string> {
      try {
        if (last === "") {
          yield { retry: 10, comment: "to begin with" };
          yield "first\r\nin two lines";
          yield { id: "é1", event: "more", data: "" };
          return;
        }
        yield { data: `after ${last}` };
        for (;;) {
          yield { event: "more", data: "last" };
          await sleep(5);
        }
      } finally {
        returned.push(last);
      }
    }
    await using server = await serve("127.0.0.1:0", async (request, info) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/events") {
        return eventStream(source(lastEventId(request)), { signal: request.signal });
      }
      if (pathname !== "/socket") {
        return new Response(PAGE, { headers: { "content-type": "text/html" } });
      }
      const options = { protocols: ["echo"], perMessageDeflate: true };
      await using socket = await upgradeWebSocket(request, info, options);
      for await (const message of socket) await socket.send(message);
      assert.deepEqual([socket.closeCode, socket.closeReason], [4000, "seen"]);
      return undefined;
    });
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
    try {
      const page = await browser.newPage();
      await page.goto(`http://${server.addr}/`);
      assert.deepEqual(await page.evaluate("sockets()"), {
        heard: [5, [1, 2, 3], 100_000],
        code: 4000,
        wasClean: true,
        protocol: "echo",
        extensions: "permessage-deflate",
      });
      assert.deepEqual(await page.evaluate("events()"), [
        ["message", "first\nin two lines", ""],
        ["more", "", "é1"],
        ["message", "after é1", "é1"],
        ["more", "last", "é1"],
      ]);
      while (returned.length < 2) await sleep(5);
      assert.deepEqual(returned, ["", "é1"]);
    } finally {
      await browser.close();
    }
  });
});
