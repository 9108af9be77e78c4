/** serve_node.test.ts: a server of node:http over Coronet: what it observes, and what its clients do. */
import assert from "node:assert/strict";
import { once } from "node:events";
import {
  createServer,
  type IncomingMessage,
  request as nodeRequest,
  type RequestListener,
  type Server,
} from "node:http";
import { connect as nodeConnect } from "node:net";
import { describe, it, type TestContext } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { type NodeServer, serveNode } from "../src/http/index.ts";
import { dial, listen, NetError, type TCPAddr } from "../src/index.ts";
import { socketFolder } from "../testing/conns.ts";
import { RawClient } from "../testing/http_client.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { until } from "./served.ts";

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

interface Started extends AsyncDisposable {
  node: Server;
  server: NodeServer;
  client: RawClient;
}

async function start(program: Server | RequestListener): Promise<Started> {
  const server = await serveNode("127.0.0.1:0", program);
  const client = await RawClient.to(server.addr);
  return {
    node: server.server,
    server,
    client,
    async [Symbol.asyncDispose]() {
      await client.conn.close();
      await server.close();
    },
  };
}

function test(name: string, body: (t: TestContext) => Promise<void>): void {
  it(name, (t) => withLeakCheck(t as TestContext, () => body(t as TestContext)));
}

function connections(node: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    node.getConnections((error, n) => (error ? reject(error) : resolve(n)));
  });
}

describe("serveNode", () => {
  test("makes the server one that listens", async () => {
    const node = createServer((_, response) => response.end("x"));
    const listening = once(node, "listening");
    await using s = await start(node);
    await listening;
    assert.equal(node.listening, true);
    const { port } = s.server.addr as TCPAddr;
    assert.deepEqual(node.address(), { address: "127.0.0.1", family: "IPv4", port });
    await until("the connection is counted", async () => (await connections(node)) === 1);
    assert.equal(s.server.size, 1);
    await assert.rejects(serveNode("127.0.0.1:0", node), /listens already/);
    assert.throws(() => node.listen(0), { code: "ERR_SERVER_ALREADY_LISTEN" });
  });

  test("listens on a path, and on a listener that it is given", async () => {
    await using folder = await socketFolder();
    const path = folder.path("s");
    const program: RequestListener = (_, response) => response.end("x");
    await using unix = await serveNode(path, program);
    assert.equal(unix.server.address(), path);
    await using client = new RawClient(await dial("unix", path));
    await client.send(GET);
    assert.equal((await client.response())?.body, "x");
    const listener = await listen("tcp", "127.0.0.1:0");
    await using other = await serveNode(listener, program);
    assert.equal(String(other.addr), String(listener.addr));
    await client.conn.close();
    await unix.close();
  });

  test("gives requests a socket with what programs read of one", async () => {
    let seen: Record<string, unknown> = {};
    await using s = await start(({ socket }, response) => {
      const { remoteAddress, remoteFamily, remotePort, localAddress, localPort } = socket;
      seen = { remoteAddress, remoteFamily, remotePort, localAddress, localPort };
      seen.encrypted = (socket as { encrypted?: boolean }).encrypted;
      seen.chained = socket.setNoDelay().setKeepAlive(true, 1000).setTimeout(1000).ref() === socket;
      response.end(String(socket.bytesRead));
    });
    await s.client.send(GET);
    assert.equal((await s.client.response())?.body, String(GET.length));
    assert.deepEqual(seen, {
      remoteAddress: "127.0.0.1",
      remoteFamily: "IPv4",
      remotePort: (s.client.conn.localAddr as TCPAddr).port,
      localAddress: "127.0.0.1",
      localPort: (s.server.addr as TCPAddr).port,
      encrypted: undefined,
      chained: true,
    });
  });

  test("answers pipelined requests in their order", async () => {
    const held: (() => void)[] = [];
    await using s = await start(({ url }, response) => {
      held.push(() => response.end(url));
      // The last one is ready first.
      if (held.length === 3) for (const go of held.reverse()) go();
    });
    await s.client.send(["/1", "/2", "/3"].map((path) => GET.replace("/", path)).join(""));
    const bodies = [];
    for (let i = 0; i < 3; i++) bodies.push((await s.client.response())?.body);
    assert.deepEqual(bodies, ["/1", "/2", "/3"]);
  });

  test("tells a program that its client has left", async () => {
    const events: string[] = [];
    let arrived: (request: IncomingMessage) => void = () => {};
    const request = new Promise<IncomingMessage>((resolve) => {
      arrived = resolve;
    });
    await using s = await start((request, response) => {
      request.on("close", () => events.push("request close"));
      response.on("close", () => events.push(`response close ${response.writableFinished}`));
      request.socket.on("close", () => events.push("socket close"));
      arrived(request);
    });
    await s.client.send(GET);
    await request;
    await s.client.conn.close();
    await until("it knows", () => events.length === 3);
    assert.deepEqual(events.sort(), ["request close", "response close false", "socket close"]);
    assert.equal(await connections(s.node), 0);
  });

  test("holds back a client whose upload nobody reads", async () => {
    let request: IncomingMessage | undefined;
    await using s = await start((req, response) => {
      request = req;
      let n = 0;
      req.on("end", () => response.end(String(n)));
      req.once("readable", () => {});
      setTimeout(() => req.on("data", (part: Buffer) => (n += part.length)), 100);
    });
    const size = 64 * 1024 * 1024;
    await s.client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`);
    const part = new Uint8Array(1024 * 1024);
    let sent = 0;
    const sending = (async () => {
      for (; sent < size; sent += part.length) await s.client.conn.write(part);
    })();
    await until("it has arrived", () => request !== undefined);
    assert.ok((request as IncomingMessage).socket.bytesRead < size / 2);
    await sending;
    assert.equal((await s.client.response())?.body, String(size));
  });

  test("holds back a program whose client does not read", async () => {
    let written = 0;
    let drained = 0;
    const part = Buffer.alloc(256 * 1024, "x");
    await using s = await start((_, response) => {
      const fill = (): void => {
        while (written < 256) {
          written++;
          if (!response.write(part)) {
            response.once("drain", () => {
              drained++;
              fill();
            });
            return;
          }
        }
        response.end();
      };
      fill();
    });
    await s.client.send(GET);
    await until("it waits", () => written > 1);
    assert.ok(written < 200, `${written} parts were written without a reader`);
    const response = await s.client.response();
    assert.equal(response?.body.length, 256 * part.length);
    assert.ok(drained > 0);
  });

  test("emits checkContinue, and lets a request through that expects nothing else", async () => {
    const node = createServer((_, response) => response.end("plain"));
    node.on("checkContinue", (request: IncomingMessage, response) => {
      response.writeContinue();
      request.resume().on("end", () => response.end("continued"));
    });
    await using s = await start(node);
    await s.client.send(
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
    );
    assert.equal((await s.client.response())?.status, 100);
    await s.client.send("ok");
    assert.equal((await s.client.response())?.body, "continued");
  });

  test("emits clientError with a socket that can be answered on", async () => {
    const node = createServer();
    node.on("clientError", (error: NodeJS.ErrnoException, socket) => {
      socket.end(`HTTP/1.1 400 ${error.code}\r\nContent-Length: 0\r\n\r\n`);
    });
    await using s = await start(node);
    await s.client.send("nonsense\r\n\r\n");
    const response = await s.client.response();
    assert.equal(response?.status, 400);
    assert.match(response.phrase, /^HPE_/);
  });

  test("upgrades, with what the client sent already", async () => {
    const node = createServer();
    node.on("upgrade", (_, socket, head) => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
      socket.write(head);
      socket.pipe(socket);
    });
    await using s = await start(node);
    await s.client.send(
      GET.replace("\r\n\r\n", "\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhead,"),
    );
    assert.equal((await s.client.response())?.status, 101);
    await s.client.send("tail");
    assert.equal(await s.client.exactly(9), "head,tail");
    // It is the program's: a shutdown does not wait for it.
    assert.equal(s.server.size, 0);
    await s.server.shutdown();
    await s.client.send("still");
    await s.client.conn.closeWrite();
    assert.equal(await s.client.rest(), "still");
  });

  test("tunnels with CONNECT", async () => {
    const node = createServer();
    node.on("connect", ({ url }, socket) => {
      socket.resume().end(`HTTP/1.1 200 OK\r\n\r\nto ${url}`);
    });
    await using s = await start(node);
    await s.client.send("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n");
    assert.match(await s.client.rest(), /to a:1$/);
  });

  test("carries WebSockets of ws, also large messages", async () => {
    const node = createServer();
    const sockets = new WebSocketServer({ server: node });
    sockets.on("connection", (socket) => {
      socket.on("message", (data: Buffer, isBinary) => socket.send(data, { binary: isBinary }));
    });
    await using s = await start(node);
    const socket = new WebSocket(`ws://${s.server.addr}/`);
    await once(socket, "open");
    for (const message of [Buffer.from("hello"), Buffer.alloc(1_000_000, 7)]) {
      socket.send(message);
      const [answer] = (await once(socket, "message")) as [Buffer];
      assert.ok(answer.equals(message));
    }
    socket.close();
    await once(socket, "close");
    sockets.close();
  });

  for (const [name, timeouts, bytes] of [
    ["headersTimeout", { headersTimeout: 50, requestTimeout: 0 }, "GET / HTTP/1.1\r\nHost:"],
    [
      "requestTimeout",
      { requestTimeout: 50, headersTimeout: 40 },
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
    ],
  ] as const) {
    test(`answers 408 after ${name}`, async () => {
      const node = createServer({ connectionsCheckingInterval: 20 }, () => {});
      Object.assign(node, timeouts);
      await using s = await start(node);
      await s.client.send(bytes);
      assert.equal((await s.client.response())?.status, 408);
      assert.equal(await s.client.response(), undefined);
    });
  }

  test("closes a connection that is idle for keepAliveTimeout", async () => {
    const node = createServer((_, response) => response.end("x"));
    node.keepAliveTimeout = 20;
    await using s = await start(node);
    await s.client.send(GET);
    assert.equal((await s.client.response())?.headers.get("keep-alive"), "timeout=0");
    assert.equal(await s.client.response(), undefined);
  });

  test("drops connections beyond maxConnections", async () => {
    const node = createServer((_, response) => response.end("x"));
    node.maxConnections = 1;
    const dropped = once(node, "drop") as Promise<[{ remotePort: number }]>;
    await using s = await start(node);
    await until("it is there", async () => (await connections(node)) === 1);
    await using second = await RawClient.to(s.server.addr);
    const [{ remotePort }] = await dropped;
    assert.equal(remotePort, (second.conn.localAddr as TCPAddr).port);
    assert.equal(await second.response(), undefined);
  });

  test("ends a program's exception outside of its own goroutines", async () => {
    const node = createServer(() => {
      throw new Error("a bug of the program");
    });
    await using s = await start(node);
    const listeners = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    const thrown = once(process, "uncaughtException") as Promise<[Error, string]>;
    await s.client.send(GET);
    const [error, origin] = await thrown;
    for (const listener of listeners) process.on("uncaughtException", listener);
    assert.equal(error.message, "a bug of the program");
    assert.equal(origin, "uncaughtException");
  });
});

describe("a server that ends", () => {
  test("by close() of node:http answers what is under way, and then emits close", async () => {
    let answer: () => void = () => {};
    const node = createServer((_, response) => {
      answer = () => response.end("done");
    });
    await using s = await start(node);
    await using idle = await RawClient.to(s.server.addr);
    await s.client.send(GET);
    await idle.send(GET);
    await until("both are there", async () => (await connections(node)) === 2);
    const closed = once(node, "close");
    node.close();
    assert.equal(node.listening, false);
    await assert.rejects(dial("tcp", String(s.server.addr)), NetError);
    node.closeAllConnections();
    answer();
    await closed;
    assert.equal(await connections(node), 0);
    await new Promise<void>((resolve) => {
      node.close((error) => {
        assert.equal((error as NodeJS.ErrnoException).code, "ERR_SERVER_NOT_RUNNING");
        resolve();
      });
    });
  });

  test("by shutdown says so in its last responses, and closes idle connections", async () => {
    const answers: (() => void)[] = [];
    await using s = await start(({ url }, response) => {
      if (url === "/begun") response.write("begun,");
      if (url === "/") response.end("x");
      else answers.push(() => response.end("done"));
    });
    const clients = await Promise.all(
      ["/", "/late", "/begun", ""].map(async (path) => {
        const client = await RawClient.to(s.server.addr);
        if (path !== "") await client.send(GET.replace("/", path));
        return client;
      }),
    );
    const [idle, late, begun, fresh] = clients as [RawClient, RawClient, RawClient, RawClient];
    assert.equal((await idle.response())?.body, "x");
    await until("they are under way", () => answers.length === 2);
    await until("all are there", () => s.server.size === 5);
    const over = s.server.shutdown();
    assert.equal(await idle.response(), undefined);
    assert.equal(await fresh.response(), undefined);
    for (const answer of answers) answer();
    const last = await late.response();
    assert.deepEqual([last?.body, last?.headers.get("connection")], ["done", "close"]);
    assert.equal((await begun.response())?.body, "begun,done");
    assert.equal(await begun.response(), undefined);
    await over;
    assert.equal(s.server.size, 0);
    for (const client of clients) await client.conn.close();
  });

  test("by shutdown with a deadline closes what is not done", async () => {
    await using s = await start(() => {});
    await s.client.send(GET);
    await until("it is there", () => s.server.size === 1);
    await s.server.shutdown({ deadline: new Date(Date.now() + 30) });
    assert.equal(await s.client.response().catch(() => undefined), undefined);
  });

  test("leaves Node's own client with a response on every connection", async () => {
    await using s = await start((_, response) => response.end("x"));
    const { port } = s.server.addr as TCPAddr;
    const [response] = (await once(nodeRequest({ port, host: "127.0.0.1" }).end(), "response")) as [
      IncomingMessage,
    ];
    response.resume();
    await once(response, "end");
    const raw = nodeConnect(port, "127.0.0.1");
    raw.write(GET);
    await once(raw, "data");
    raw.destroy();
  });
});
