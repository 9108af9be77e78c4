// What a WebSocket does for the goroutines that use it, on both sides.
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import {
  type DialWebSocketOptions,
  dialWebSocket,
  type Handler,
  Response,
  type Server,
  serve,
  type UpgradeOptions,
  upgradeWebSocket,
  type WebSocketConn,
  WebSocketError,
} from "../src/http/index.ts";
import {
  afterFunc,
  type Conn,
  dial,
  go,
  listen,
  NetError,
  pipe,
  readAll,
  sleep,
  type TCPConn,
} from "../src/index.ts";
import { RawClient } from "../testing/http_client.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { decodeFrames, encode, handshake } from "../testing/websocket_frames.ts";

function test(name: string, body: (t: TestContext) => Promise<void>): void {
  it(name, (t) => withLeakCheck(t as TestContext, () => body(t as TestContext)));
}

interface Pair extends AsyncDisposable {
  server: WebSocketConn;
  client: WebSocketConn;
}

interface PairOptions {
  server?: UpgradeOptions;
  client?: DialWebSocketOptions;
}

/** Both ends of a socket. */
async function pair(options: PairOptions = {}): Promise<Pair> {
  let accepted: (socket: WebSocketConn) => void = () => {};
  const accepting = new Promise<WebSocketConn>((resolve) => {
    accepted = resolve;
  });
  const http = await serve("127.0.0.1:0", async (request, info) => {
    accepted(await upgradeWebSocket(request, info, { closeTimeout: 1_000, ...options.server }));
    return undefined;
  });
  const url = `ws://${http.addr}/`;
  const client = await dialWebSocket(url, { closeTimeout: 1_000, ...options.client });
  const server = await accepting;
  return {
    server,
    client,
    async [Symbol.asyncDispose]() {
      client.abort();
      server.abort();
      await http.close();
    },
  };
}

/** A client that sends frames as they are. */
async function raw(
  options: UpgradeOptions = {},
): Promise<AsyncDisposable & { conn: Conn; socket: WebSocketConn }> {
  let accepted: (socket: WebSocketConn) => void = () => {};
  const accepting = new Promise<WebSocketConn>((resolve) => {
    accepted = resolve;
  });
  const server = await serve("127.0.0.1:0", async (request, info) => {
    accepted(await upgradeWebSocket(request, info, { closeTimeout: 1_000, ...options }));
    return undefined;
  });
  const client = await RawClient.to(server.addr);
  await client.send(handshake());
  await client.response();
  const socket = await accepting;
  return {
    conn: client.conn,
    socket,
    async [Symbol.asyncDispose]() {
      await client.conn.close();
      socket.abort();
      await server.close();
    },
  };
}

const text = (payload: string, fin = true, opcode = 1): Buffer =>
  encode({ opcode, payload: Buffer.from(payload), fin }, true);

async function all(socket: WebSocketConn): Promise<unknown[]> {
  const messages: unknown[] = [];
  for await (const message of socket) messages.push(message);
  return messages;
}

/** The kernel takes no more than so much for a conn that is not read. */
function hold(conn: Conn): void {
  (conn as TCPConn).setReadBuffer(65_536);
}

function failsWith(code: string, closeCode?: number) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof NetError);
    assert.equal(error.code, code);
    if (closeCode !== undefined) assert.equal((error as WebSocketError).closeCode, closeCode);
    return true;
  };
}

describe("messages", () => {
  test("keep their kind and their bytes, both ways", async () => {
    await using sockets = await pair();
    const { client, server } = sockets;
    const messages = ["", "hello", "µ€😀", "x".repeat(70_000), new Uint8Array([0, 255, 7])];
    messages.push(new Uint8Array(0), new Uint8Array(100_000).fill(9), "é".repeat(9_000));
    for (const message of messages) {
      await client.send(message);
      const got = await server.receive();
      assert.deepEqual(got, message);
      await server.send(got as string);
      assert.deepEqual(await client.receive(), message);
    }
  });

  test("of a client leave the caller's bytes as they are", async () => {
    await using sockets = await pair();
    const bytes = new Uint8Array(50).fill(1);
    await sockets.client.send(bytes);
    assert.deepEqual(await sockets.server.receive(), bytes);
    assert.deepEqual(bytes, new Uint8Array(50).fill(1));
  });

  test("are received in the order of the receivers", async () => {
    await using sockets = await pair();
    const receivers = [1, 2, 3].map(() => sockets.server.receive());
    for (const message of ["a", "b", "c"]) await sockets.client.send(message);
    assert.deepEqual(await Promise.all(receivers), ["a", "b", "c"]);
  });

  test("of many senders are never mixed, in parts or whole", async () => {
    for (const perMessageDeflate of [false, { threshold: 0 }]) {
      const options = { perMessageDeflate };
      await using sockets = await pair({ server: options, client: options });
      const { client, server } = sockets;
      const senders = Array.from({ length: 20 }, async (_, i) => {
        const letter = String.fromCharCode(97 + i);
        async function* parts() {
          for (let n = 0; n < 5; n++) {
            yield letter.repeat(1000);
            await sleep(0);
          }
        }
        await client.send(i % 2 === 0 ? letter.repeat(30_000) : parts());
      });
      for (const _ of senders) {
        const message = (await server.receive()) as string;
        assert.ok(message.length === 30_000 || message.length === 5_000);
        assert.equal(message, (message[0] as string).repeat(message.length));
      }
      await Promise.all(senders);
    }
  });

  test("in parts are one message, also an empty one", async () => {
    for (const perMessageDeflate of [false, true]) {
      const options = { perMessageDeflate };
      await using sockets = await pair({ server: options, client: options });
      const { client, server } = sockets;
      async function* bytes() {
        yield new Uint8Array([1]);
        yield new Uint8Array(0);
        yield new Uint8Array([2, 3]);
      }
      async function* none() {}
      await client.send(bytes());
      await client.send(none());
      await client.send("after");
      assert.deepEqual(await server.receive(), new Uint8Array([1, 2, 3]));
      assert.deepEqual(await server.receive(), new Uint8Array(0));
      assert.equal(await server.receive(), "after");
    }
  });

  test("that break off in their parts end the socket", async () => {
    await using sockets = await pair();
    const { client, server } = sockets;
    async function* broken() {
      yield "half a mess";
      throw new Error("no more");
    }
    const received = server.receive();
    await assert.rejects(client.send(broken()), /no more/);
    assert.equal(await received, null);
    assert.equal(server.closeCode, 1011);
  });

  test("are refused when they are none", async () => {
    await using sockets = await pair();
    await assert.rejects(sockets.client.send(7 as unknown as string), TypeError);
    await sockets.client.send("fine");
    assert.equal(await sockets.server.receive(), "fine");
  });

  test("beyond maxPayload close the socket with 1009", async () => {
    await using sockets = await pair({ server: { maxPayload: 10 } });
    const { client, server } = sockets;
    await client.send("0123456789");
    await client.send("0123456789a");
    assert.equal(await server.receive(), "0123456789");
    await assert.rejects(server.receive(), failsWith("ERR_WS_PROTOCOL", 1009));
    assert.equal(await client.receive(), null);
    assert.equal(client.closeCode, 1009);
  });

  test("are compressed when both sides want it", async () => {
    for (const noContext of [false, true]) {
      const perMessageDeflate = {
        threshold: 10,
        serverNoContextTakeover: noContext,
        clientNoContextTakeover: noContext,
      };
      await using sockets = await pair({
        server: { perMessageDeflate },
        client: { perMessageDeflate },
      });
      const { client, server } = sockets;
      const message = "again and ".repeat(10_000);
      const counted = { bytesIn: 0, bytesOut: 0, nextMeter: undefined };
      client.conn.fd.addMeter(counted);
      for (let i = 0; i < 3; i++) {
        const sent = client.send(message);
        assert.equal(await server.receive(), message);
        await sent;
        await server.send("short");
        assert.equal(await client.receive(), "short");
      }
      assert.ok(counted.bytesOut < message.length / 10, `${counted.bytesOut}`);
    }
  });
});

describe("backpressure", () => {
  test("leaves what nobody asks for in the kernel", async () => {
    await using sockets = await pair();
    const { client, server } = sockets;
    const message = new Uint8Array(65_536);
    let sent = 0;
    const sending = (async () => {
      for (; sent < 2_000; sent++) await client.send(message);
    })();
    let before = -1;
    while (before !== sent) {
      before = sent;
      await sleep(50);
    }
    assert.ok(sent < 2_000, "the sender waits for the receiver");
    for (let i = 0; i < 2_000; i++) assert.equal((await server.receive())?.length, 65_536);
    await sending;
  });

  test("holds no more than a chunk's messages of a flood of small ones", async () => {
    await using s = await raw();
    const flood = Buffer.concat(Array.from({ length: 100_000 }, () => text("")));
    const writing = s.conn.write(flood).catch(() => {});
    assert.equal(await s.socket.receive(), "");
    await sleep(20);
    assert.ok(s.socket.waiting < 65_536 / 6);
    for (let i = 1; i < 100_000; i++) assert.equal(await s.socket.receive(), "");
    await writing;
  });

  test("does not let pongs pile up for a peer that does not read them", async () => {
    await using s = await raw();
    const ping = encode({ opcode: 9, payload: new Uint8Array(125) }, true);
    const pings = Buffer.concat(Array.from({ length: 500 }, () => ping));
    const receiving = s.socket.receive().catch((error: unknown) => error);
    let written = 0;
    const flooding = (async () => {
      for (;;) written += await s.conn.write(pings);
    })().catch(() => {});
    let before = -1;
    while (before !== written) {
      before = written;
      await sleep(100);
    }
    // Both directions are full, and nobody reads on.
    assert.ok(written > 0);
    await s.conn.close();
    await flooding;
    assert.ok((await receiving) instanceof WebSocketError);
  });
});

describe("waiting", () => {
  test("ends at a deadline, and nothing is lost", async () => {
    await using sockets = await pair();
    const { client, server } = sockets;
    server.setReadDeadline(new Date(Date.now() + 10));
    await assert.rejects(server.receive(), (error: NetError) => error.timeout);
    await client.send("a");
    await client.send("b");
    await assert.rejects(server.receive(), failsWith("ERR_DEADLINE"));
    server.setReadDeadline(null);
    assert.equal(await server.receive(), "a");
    server.setDeadline(new Date(Date.now() - 1));
    await assert.rejects(server.receive(), failsWith("ERR_DEADLINE"));
    await assert.rejects(server.send("x"), failsWith("ERR_DEADLINE"));
    server.setDeadline(null);
    assert.equal(await server.receive(), "b");
    await server.send("still here");
    assert.equal(await client.receive(), "still here");
  });

  test("ends with its signal, in a queue or not, also in the middle of a message", async () => {
    await using s = await raw();
    await s.conn.write(text("hel", false));
    const stop = new AbortController();
    const first = s.socket.receive({ signal: stop.signal });
    const second = s.socket.receive({ signal: stop.signal });
    const third = s.socket.receive();
    await sleep(5);
    stop.abort();
    await assert.rejects(first, { code: "ERR_CANCELED" });
    await assert.rejects(second, { code: "ERR_CANCELED" });
    await s.conn.write(text("lo", true, 0));
    assert.equal(await third, "hello");
    await assert.rejects(s.socket.receive({ signal: stop.signal }), { code: "ERR_CANCELED" });
  });

  test("of a sender ends with its signal; in the middle of a message that ends the socket", async () => {
    await using sockets = await pair();
    const { client, server } = sockets;
    hold(server.conn);
    const stop = new AbortController();
    const sending = client.send(new Uint8Array(16_000_000), { signal: stop.signal });
    const behind = client.send("behind", { signal: stop.signal });
    await sleep(20);
    stop.abort();
    await assert.rejects(sending, { code: "ERR_CANCELED" });
    await assert.rejects(behind, { code: "ERR_CANCELED" });
    await assert.rejects(client.send("more"), failsWith("ERR_WS_ABNORMAL", 1006));
    await assert.rejects(client.receive(), failsWith("ERR_WS_ABNORMAL", 1006));
    await assert.rejects(server.receive(), failsWith("ERR_WS_ABNORMAL", 1006));
  });
});

describe("a message that is given up half way", () => {
  test("has nothing written into it, whatever waits behind it", async () => {
    await using s = await raw({ pingInterval: 10, pingTimeout: 10_000 });
    hold(s.conn);
    const stop = new AbortController();
    const given = s.socket.send(new Uint8Array(16_000_000), { signal: stop.signal });
    const behind = [s.socket.send("behind"), s.socket.send(Buffer.from("behind"))];
    await s.conn.write(encode({ opcode: 9, payload: Buffer.from("ping") }, true));
    const receiving = s.socket.receive();
    await sleep(30);
    // Now there is room again in the kernel, of which the sender has not heard.
    const first = Buffer.alloc(1_000_000);
    const reading = s.conn.read(first);
    stop.abort();
    const closing = s.socket.close();
    await assert.rejects(given, { code: "ERR_CANCELED" });
    for (const each of behind) await assert.rejects(each, WebSocketError);
    await assert.rejects(receiving, WebSocketError);
    // Behind the head there are zeros and nothing else.
    assert.ok(first.subarray(10).every((byte) => byte === 0));
    let at = (await reading) ?? 0;
    try {
      for await (const chunk of s.conn) {
        assert.ok(chunk.every((byte) => byte === 0));
        at += chunk.length;
      }
    } catch (error) {
      assert.equal((error as NetError).code, "ECONNRESET");
    }
    assert.ok(at < 16_000_000);
    await closing;
  });
});

describe("closing", () => {
  test("gives the peer the code and the reason, and ends its loop", async () => {
    await using sockets = await pair();
    const { client, server } = sockets;
    const received = all(server);
    await client.send("one");
    await client.close(4001, "enough");
    assert.deepEqual(await received, ["one"]);
    assert.deepEqual([server.closeCode, server.closeReason], [4001, "enough"]);
    assert.equal(client.closeCode, 4001);
    assert.equal(await server.receive(), null);
    assert.equal(await client.receive(), null);
    await assert.rejects(client.send("x"), failsWith("ERR_CLOSED", 4001));
    await assert.rejects(server.send("x"), failsWith("ERR_CLOSED", 4001));
    await client.close();
    await server.close();
  });

  test("from both sides at once is clean for both", async () => {
    await using sockets = await pair();
    const { client, server } = sockets;
    await Promise.all([client.close(4001), server.close(4002)]);
    assert.equal(client.closeCode, 4002);
    assert.equal(server.closeCode, 4001);
  });

  test("ends a receiver of one's own with null", async () => {
    await using sockets = await pair();
    const { client, server } = sockets;
    const mine = client.receive();
    const theirs = all(server);
    await client.close();
    assert.equal(await mine, null);
    assert.deepEqual(await theirs, []);
  });

  test("drops messages that are still coming", async () => {
    await using sockets = await pair();
    const { client, server } = sockets;
    for (let i = 0; i < 100; i++) await server.send(`unread ${i}`);
    const theirs = all(server);
    await client.close();
    assert.equal(client.closeCode, 1000);
    assert.deepEqual(await theirs, []);
    assert.equal(await client.receive(), null);
  });

  test("lets the other side answer what came before", async () => {
    await using s = await raw();
    await s.conn.write(
      Buffer.concat([
        text("last words"),
        encode({ opcode: 8, payload: Buffer.from([3, 232]) }, true),
      ]),
    );
    assert.equal(await s.socket.receive(), "last words");
    await s.socket.send("heard");
    assert.equal(await s.socket.receive(), null);
    const bytes = Buffer.from(await readAll(s.conn));
    assert.deepEqual(
      decodeFrames(bytes).map(({ opcode }) => opcode),
      [1, 8],
    );
  });

  test("gives up on a peer that does not take part", async () => {
    await using s = await raw({ closeTimeout: 30 });
    const receiving = s.socket.receive();
    await Promise.all([
      s.socket.close(),
      assert.rejects(receiving, failsWith("ERR_WS_CLOSE_TIMEOUT", 1006)),
    ]);
    assert.equal(s.socket.closeCode, 1006);
  });

  test("gives up on a peer that reads nothing", async () => {
    await using s = await raw({ closeTimeout: 30 });
    hold(s.conn);
    const sending = s.socket.send(new Uint8Array(30_000_000));
    await Promise.all([s.socket.close(), assert.rejects(sending, WebSocketError)]);
    assert.equal(s.socket.closeCode, 1006);
  });

  test("refuses codes and reasons that cannot be sent", async () => {
    await using sockets = await pair();
    for (const code of [0, 999, 1004, 1005, 1006, 1015, 2000, 5000, 1000.5]) {
      await assert.rejects(sockets.client.close(code), TypeError);
    }
    await assert.rejects(sockets.client.close(1000, "é".repeat(62)), RangeError);
    await sockets.client.send("open");
    assert.equal(await sockets.server.receive(), "open");
  });

  test("a thousand sockets at once leaves nothing behind", async () => {
    const handled: Promise<void>[] = [];
    await using server = await serve("127.0.0.1:0", async (request, info) => {
      const socket = await upgradeWebSocket(request, info);
      handled.push(
        (async () => {
          await using _ = socket;
          for await (const message of socket) await socket.send(message);
        })(),
      );
      return undefined;
    });
    const clients = await Promise.all(
      Array.from({ length: 1_000 }, () => dialWebSocket(`ws://${server.addr}/`)),
    );
    await Promise.all(clients.map((client) => client.send("hello")));
    await Promise.all(clients.map((client) => client.receive()));
    await Promise.all(clients.map((client) => client.close()));
    await Promise.all(handled);
    assert.equal(handled.length, 1_000);
    for (const client of clients) assert.equal(client.closeCode, 1000);
  });
});

describe("peers that go", () => {
  test("in the middle of a message are no clean end", async () => {
    for (const reset of [false, true]) {
      await using s = await raw();
      await s.conn.write(text("whole"));
      await s.conn.write(text("broken off").subarray(0, 9));
      assert.equal(await s.socket.receive(), "whole");
      const receiving = s.socket.receive();
      if (reset) (s.conn as TCPConn).setLinger(0);
      await s.conn.close();
      await assert.rejects(receiving, (error: WebSocketError) => {
        assert.equal(error.code, "ERR_WS_ABNORMAL");
        assert.equal(error.closeCode, 1006);
        if (reset) assert.equal((error.cause as NetError).code, "ECONNRESET");
        assert.match(error.message, /127\.0\.0\.1/);
        return true;
      });
      assert.equal(s.socket.closeCode, 1006);
      await assert.rejects(s.socket.receive(), failsWith("ERR_WS_ABNORMAL"));
    }
  });

  test("without a word are found by a ping", async () => {
    await using s = await raw({ pingInterval: 20, pingTimeout: 20 });
    await assert.rejects(s.socket.receive(), (error: WebSocketError) => {
      assert.equal(error.code, "ERR_WS_PING_TIMEOUT");
      assert.equal(error.timeout, true);
      assert.match(error.message, /did not answer a ping within 20 ms/);
      return true;
    });
    const bytes = Buffer.from(await readAll(s.conn));
    assert.deepEqual(
      decodeFrames(bytes).map(({ opcode }) => opcode),
      [9],
    );
  });

  test("are found also while nobody receives, and while a send waits", async () => {
    await using s = await raw({ pingInterval: 20, pingTimeout: 20 });
    hold(s.conn);
    await assert.rejects(
      s.socket.send(new Uint8Array(30_000_000)),
      failsWith("ERR_WS_PING_TIMEOUT", 1006),
    );
  });

  test("that answer pings stay, also when their messages are not received", async () => {
    await using sockets = await pair({ server: { pingInterval: 10, pingTimeout: 10_000 } });
    const { client, server } = sockets;
    const listening = client.receive();
    await sleep(60);
    await client.send("not received yet");
    await sleep(60);
    assert.equal(await server.receive(), "not received yet");
    await server.send("here");
    assert.equal(await listening, "here");
    assert.equal(server.closeCode, undefined);
  });

  test("end quietly: no goroutine panics", async () => {
    const errors: unknown[] = [];
    await using server = await serve(
      "127.0.0.1:0",
      async (request, info) => {
        await using socket = await upgradeWebSocket(request, info);
        for await (const message of socket) await socket.send(message);
        return undefined;
      },
      { onError: (error) => void errors.push(error) },
    );
    for (const end of ["reset", "protocol"]) {
      const client = await RawClient.to(server.addr);
      await client.send(handshake());
      await client.response();
      if (end === "reset") (client.conn as TCPConn).setLinger(0);
      else await client.conn.write(encode({ opcode: 3, payload: Buffer.alloc(0) }, true));
      if (end === "protocol") await client.rest();
      await client.conn.close();
    }
    await sleep(20);
    assert.deepEqual(errors, []);
  });

  test("and sockets that are aborted fail whoever waits", async () => {
    await using sockets = await pair();
    const receiving = sockets.client.receive();
    sockets.client.abort();
    await assert.rejects(receiving, failsWith("ERR_CLOSED"));
    await assert.rejects(sockets.client.send("x"), failsWith("ERR_CLOSED"));
    await assert.rejects(sockets.server.receive(), failsWith("ERR_WS_ABNORMAL", 1006));
    await sockets.client.close();
  });
});

describe("handshakes", () => {
  /** The status of a request for a WebSocket with these lines instead of the usual ones. */
  async function answerTo(head: string, options: UpgradeOptions = {}) {
    await using server = await serve("127.0.0.1:0", async (request, info) => {
      await using _ = await upgradeWebSocket(request, info, { closeTimeout: 1, ...options });
      return undefined;
    });
    await using client = await RawClient.to(server.addr);
    await client.send(head);
    return await client.response();
  }

  test("that are none are refused with a status", async () => {
    const good = handshake();
    assert.equal((await answerTo(good))?.status, 101);
    const old = await answerTo(good.replace("Version: 13", "Version: 8"));
    assert.equal(old?.status, 426);
    assert.equal(old.headers.get("sec-websocket-version"), "13");
    assert.equal((await answerTo("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))?.status, 426);
    assert.equal((await answerTo(good.replace("websocket", "h2c")))?.status, 426);
    assert.equal((await answerTo(good.replace("GET", "POST")))?.status, 400);
    assert.equal((await answerTo(good.replace("Key: dGhl", "Key: ")))?.status, 400);
    assert.equal((await answerTo(handshake("Sec-WebSocket-Key: again")))?.status, 400);
    assert.equal((await answerTo(handshake("Sec-WebSocket-Protocol: a,,b")))?.status, 400);
    assert.equal((await answerTo(handshake("Sec-WebSocket-Protocol: a, a")))?.status, 400);
    const malformed = handshake("Sec-WebSocket-Extensions: ;;");
    assert.equal((await answerTo(malformed))?.status, 400);
  });

  test("agree on compression, or on none", async () => {
    const deflate = { perMessageDeflate: true };
    const offer = (line: string): string => handshake(`Sec-WebSocket-Extensions: ${line}`);
    const header = async (line: string, options = deflate) =>
      (await answerTo(offer(line), options))?.headers.get("sec-websocket-extensions");
    assert.equal(await header("permessage-deflate"), "permessage-deflate");
    assert.equal(await header("permessage-deflate", { perMessageDeflate: false }), undefined);
    assert.equal(await header("permessage-foo"), undefined);
    assert.equal(await header("permessage-deflate; nonsense"), undefined);
    assert.equal(
      await header("permessage-deflate; server_no_context_takeover; server_max_window_bits=10"),
      "permessage-deflate; server_no_context_takeover; server_max_window_bits=10",
    );
  });

  test("choose the client's best protocol that the server speaks", async () => {
    const server = { protocols: ["v1", "v2"] };
    await using sockets = await pair({ server, client: { protocols: ["v3", "v2", "v1"] } });
    assert.equal(sockets.client.protocol, "v2");
    assert.equal(sockets.server.protocol, "v2");
    const twice = dialWebSocket("ws://127.0.0.1:1/", { protocols: ["a", "a"] });
    await assert.rejects(twice, SyntaxError);
  });

  test("carry headers, credentials and the target", async () => {
    let seen: Request | undefined;
    await using server = await serve("127.0.0.1:0", async (request, info) => {
      seen = request as unknown as Request;
      await using _ = await upgradeWebSocket(request, info, { headers: { "x-server": "1" } });
      return undefined;
    });
    const url = `ws://us%65r:pass@${server.addr}/path?q=1#fragment`;
    await using client = await dialWebSocket(url, {
      headers: { origin: "http://a", cookie: "c=1" },
    });
    assert.equal(await client.receive(), null);
    assert.ok(seen !== undefined);
    assert.equal(seen.url, `http://${server.addr}/path?q=1`);
    assert.equal(seen.headers.get("origin"), "http://a");
    assert.equal(seen.headers.get("cookie"), "c=1");
    assert.equal(seen.headers.get("authorization"), `Basic ${btoa("user:pass")}`);
    const own = { headers: { "sec-websocket-key": "x" } };
    await assert.rejects(dialWebSocket(url, own), TypeError);
  });

  test("that a server refuses tell its status", async () => {
    const handler: Handler = () => new Response("no", { status: 403 });
    await using server = await serve("127.0.0.1:0", handler);
    await assert.rejects(dialWebSocket(`ws://${server.addr}/`), (error: WebSocketError) => {
      assert.equal(error.code, "ERR_WS_HANDSHAKE");
      assert.equal(error.status, 403);
      return true;
    });
    await assert.rejects(dialWebSocket("ws://127.0.0.1:1/"), { code: "ECONNREFUSED" });
    await assert.rejects(dialWebSocket("http://127.0.0.1/"), TypeError);
  });

  test("of a server that lies are refused", async () => {
    const answers = [
      "HTTP/1.1 101 X\r\n\r\n",
      "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
      "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: KEY\r\nSec-WebSocket-Protocol: x\r\n\r\n",
      "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: KEY\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
      "HTTP/1.1 101 X\r\nbad header\r\n\r\n",
      "ICY 101 X\r\n\r\n",
      `HTTP/1.1 101 X\r\nA: ${"a".repeat(20_000)}`,
      "HTTP/1.1 101 X\r\n",
    ];
    const { acceptOf } = await import("../src/http/websocket/handshake.ts");
    await using listener = await listen("tcp", "127.0.0.1:0");
    for (const answer of answers) {
      const dialling = dialWebSocket(`ws://${listener.addr}/`);
      await using conn = await listener.accept();
      const request = Buffer.from((await conn[Symbol.asyncIterator]().next()).value ?? []);
      const key = /Key: (.*)\r/.exec(request.toString())?.[1] ?? "";
      await conn.write(answer.replace("KEY", acceptOf(key)));
      await conn.closeWrite();
      await assert.rejects(dialling, failsWith("ERR_WS_HANDSHAKE"), answer);
    }
  });

  test("end at their timeout and with their signal, and leave no connection", async () => {
    await using listener = await listen("tcp", "127.0.0.1:0");
    const url = `ws://${listener.addr}/`;
    await assert.rejects(dialWebSocket(url, { timeout: 20 }), (error: NetError) => error.timeout);
    const stop = new AbortController();
    const dialling = dialWebSocket(url, { signal: stop.signal });
    await using first = await listener.accept();
    await using second = await listener.accept();
    stop.abort();
    await assert.rejects(dialling, { code: "ERR_CANCELED" });
    for (const conn of [first, second]) await readAll(conn);
  });

  test("take messages that come right behind them", async () => {
    await using server = await serve("127.0.0.1:0", async (request, info) => {
      await using socket = await upgradeWebSocket(request, info);
      await socket.send("welcome");
      for await (const message of socket) await socket.send(message);
      return undefined;
    });
    await using conn = await dial("tcp", String(server.addr));
    const ending = encode({ opcode: 8, payload: Buffer.alloc(0) }, true);
    await conn.write(Buffer.concat([Buffer.from(handshake()), text("early"), ending]));
    const all = Buffer.from(await readAll(conn));
    const frames = decodeFrames(all.subarray(all.indexOf("\r\n\r\n") + 4));
    assert.deepEqual(
      frames.map(({ payload }) => String(Buffer.from(payload))),
      ["welcome", "early", ""],
    );
    await using client = await dialWebSocket(`ws://${server.addr}/`);
    assert.equal(await client.receive(), "welcome");
  });

  test("go over a connection that is given", async () => {
    const [a, b] = pipe();
    const serving = go(async () => {
      const request = Buffer.from((await b[Symbol.asyncIterator]().next()).value ?? []);
      const { acceptOf } = await import("../src/http/websocket/handshake.ts");
      const key = /Key: (.*)\r/.exec(request.toString())?.[1] ?? "";
      const head = "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
      await b.write(`${head}Sec-WebSocket-Accept: ${acceptOf(key)}\r\n\r\n`);
      await b.write(encode({ opcode: 1, payload: Buffer.from("piped") }, false));
      await b.close();
    });
    const socket = await dialWebSocket("wss://somewhere/", { conn: a });
    assert.equal(await socket.receive(), "piped");
    await serving.join();
    await socket.close();
    assert.equal(socket.closeCode, 1006);
  });
});

describe("a server that stops", () => {
  const stops: Record<string, (server: Server) => Promise<void>> = {
    shutdown: (server) => server.shutdown(),
    close: (server) => server.close(),
  };
  for (const [name, stop] of Object.entries(stops)) {
    test(`tells its sockets' handlers, by ${name}`, async () => {
      const server = await serve("127.0.0.1:0", async (request, info) => {
        const before = info.context;
        await using socket = await upgradeWebSocket(request, info);
        assert.notEqual(before.err, undefined);
        afterFunc(info.context, () => void socket.close(1001, "going away"));
        for await (const message of socket) await socket.send(message);
        return undefined;
      });
      await using client = await dialWebSocket(`ws://${server.addr}/`);
      await client.send("hello");
      assert.equal(await client.receive(), "hello");
      const ending = client.receive();
      await stop(server);
      assert.equal(await ending, null);
      assert.deepEqual([client.closeCode, client.closeReason], [1001, "going away"]);
    });
  }
});
