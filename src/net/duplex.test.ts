/** duplex.test.ts: fromDuplex over streams of every origin. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, request } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { Duplex, PassThrough, Readable, Writable } from "node:stream";
import { describe, test } from "node:test";
import { connect as connectTLS, createServer as createTLS } from "node:tls";
import { CERTIFICATE, PRIVATE_KEY } from "../../testing/certificate.ts";
import { duplexPair, nodeSocketPair, nodeSockets } from "../../testing/duplexes.ts";
import { openFds, withLeakCheck } from "../../testing/leaks.ts";
import { failure, inMs, readAll, readText, staysPending, turn } from "../../testing/support.ts";
import { fromDuplex } from "./duplex.ts";

/** A stream that takes everything and from which nothing comes. */
function sink(taken: Uint8Array[] = []): Duplex {
  return new Duplex({
    read() {},
    write(chunk, _encoding, done) {
      taken.push(chunk);
      done();
    },
  });
}

describe("fromDuplex refuses", () => {
  test("what is no duplex stream of bytes", () => {
    for (const wrong of [undefined, null, 5, {}, Readable.from([]), new Writable(), "stream"]) {
      assert.throws(() => fromDuplex(wrong as never), /fromDuplex: the stream is no duplex stream/);
    }
    for (const options of [
      { objectMode: true },
      { readableObjectMode: true },
      { writableObjectMode: true },
    ]) {
      const refused = { name: "TypeError", message: /object mode; a conn carries bytes/ };
      assert.throws(() => fromDuplex(new PassThrough(options)), refused);
    }
    assert.throws(() => fromDuplex(new PassThrough().setEncoding("utf8")), /decodes its bytes/);
  });

  test("a stream that it has taken over already", async () => {
    const [x, y] = duplexPair();
    const conn = fromDuplex(x);
    assert.throws(() => fromDuplex(x), /has been taken over by a conn already/);
    await conn.close();
    y.destroy();
  });
});

describe("a conn over a stream", () => {
  test("has the addresses of a socket, also after close, and else none", async () => {
    const [x, y] = await nodeSockets();
    const local = `127.0.0.1:${x.localPort}`;
    const [a, b] = [fromDuplex(x), fromDuplex(y)];
    assert.equal(a.network, "tcp");
    assert.equal(String(a.localAddr), local);
    await a.close();
    await turn();
    assert.equal(String(a.localAddr), local);
    assert.equal(String(b.remoteAddr), local);
    await b.close();
    await using conn = fromDuplex(sink());
    assert.deepEqual([conn.network, String(conn.localAddr)], ["duplex", "duplex"]);
  });

  test("carries on where others have read and left something in the stream", async () => {
    const [x, y] = duplexPair();
    y.write("head and body");
    await once(x, "readable");
    assert.equal(String(x.read(5)), "head ");
    await using a = fromDuplex(x);
    await using b = fromDuplex(y);
    assert.equal(await readText(a, 8), "and body");
    await b.write("more");
    assert.equal(await readText(a, 4), "more");
  });

  test("reads what came before the end of a stream that has ended already", async () => {
    const stream = new PassThrough();
    stream.end("all of it");
    await using conn = fromDuplex(stream);
    assert.equal(Buffer.from(await readAll(conn)).toString(), "all of it");
    await failure(conn.write("x"), "EPIPE");
  });

  test("fails with a stream's error, its code where it has one, and itself as cause", async () => {
    for (const [code, expected] of [
      ["ETIMEDOUT", "ETIMEDOUT"],
      ["ERR_OF_A_PROGRAM", "EPROTO"],
      [undefined, "EPROTO"],
    ]) {
      const stream = sink();
      const conn = fromDuplex(stream);
      const reading = conn.read(new Uint8Array(1));
      const error = Object.assign(new Error("of the stream"), { code });
      stream.destroy(error);
      assert.equal((await failure(reading, expected as string)).cause, error);
      assert.equal((await failure(conn.read(new Uint8Array(1)), expected as string)).cause, error);
      await failure(conn.write("x"), expected as string);
      await failure(conn.write("x"), "EPIPE");
      await conn.close();
    }
  });

  test("fails when the stream is destroyed under it, or was before", async () => {
    const stream = sink();
    await using conn = fromDuplex(stream);
    const reading = conn.read(new Uint8Array(1));
    stream.destroy();
    await failure(reading, "ECONNRESET");
    const gone = sink();
    gone.destroy();
    await using late = fromDuplex(gone);
    await failure(late.read(new Uint8Array(1)), "ECONNRESET");
  });

  test("leaves no error of the stream uncaught, however late it comes", async () => {
    const stream = new Duplex({
      read() {},
      write: (_chunk, _encoding, done) => void setTimeout(done, 5, new Error("late")),
    });
    const conn = fromDuplex(stream);
    await conn.write("x");
    await conn.close();
    await new Promise((resolve) => stream.on("close", resolve));
    stream.emit("error", new Error("later still"));
    await turn();
  });

  test("holds 64 KiB of what comes and then pauses the stream", async () => {
    let pushed = 0;
    const stream = new Duplex({
      read() {
        pushed += 16_384;
        this.push(new Uint8Array(16_384));
      },
      write() {},
    });
    await using conn = fromDuplex(stream);
    for (let i = 0; i < 100; i++) await turn();
    assert.ok(pushed < 200_000, `${pushed} bytes were read that nobody asked for`);
    const before = pushed;
    await readText(conn, 100_000);
    await turn();
    assert.ok(pushed > before);
  });

  test("delivers what was written before it destroys the stream", async () => {
    const taken: Uint8Array[] = [];
    const stream = new Duplex({
      read() {},
      write(chunk, _encoding, done) {
        taken.push(chunk);
        setTimeout(done, 1);
      },
    });
    const conn = fromDuplex(stream);
    for (const word of ["one ", "two ", "three"]) await conn.write(word);
    await conn.close();
    await once(stream, "close");
    assert.equal(Buffer.concat(taken).toString(), "one two three");
  });

  test("is a copy: the bytes may be changed once the write has settled", async () => {
    const taken: Uint8Array[] = [];
    await using conn = fromDuplex(sink(taken));
    const bytes = Buffer.from("before");
    await conn.write(bytes);
    await conn.writev([bytes, bytes]);
    bytes.fill("x");
    assert.equal(Buffer.concat(taken).toString(), "beforebeforebefore");
  });

  test("ends its own direction although the peer has ended its own", async () => {
    const [x, y] = await nodeSockets();
    await using conn = fromDuplex(x);
    y.end("question");
    assert.equal(Buffer.from(await readAll(conn)).toString(), "question");
    await turn();
    await conn.write("answer");
    await conn.closeWrite();
    const chunks: Buffer[] = [];
    for await (const chunk of y) chunks.push(chunk as Buffer);
    assert.equal(Buffer.concat(chunks).toString(), "answer");
  });

  test("leaves no fd behind, also when it is closed in the middle of a large write", (t) =>
    withLeakCheck(t, async () => {
      for (let i = 0; i < 10; i++) {
        await using pair = await nodeSocketPair();
        const writing = failure(pair.a.write(new Uint8Array(8 << 20)), "ERR_CLOSED");
        assert.ok(await staysPending(writing));
        await pair.a.close();
        await writing;
      }
      assert.ok(openFds().size < 1000);
    }));
});

describe("fromDuplex takes", () => {
  test("both ends of a TLS connection", async () => {
    const server = createTLS({ key: PRIVATE_KEY, cert: CERTIFICATE }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const accepted = once(server, "secureConnection");
    const a = fromDuplex(connectTLS({ port, host: "127.0.0.1", rejectUnauthorized: false }));
    // Before the handshake is done: writes wait in the stream.
    await a.write("secret");
    const b = fromDuplex(((await accepted) as [Duplex])[0]);
    assert.equal(await readText(b, 6), "secret");
    assert.equal(String(a.remoteAddr), `127.0.0.1:${port}`);
    await b.write(new Uint8Array(300_000));
    await b.close();
    assert.equal((await readAll(a)).length, 300_000);
    await a.close();
    server.close();
    await once(server, "close");
  });

  test("the socket of an HTTP upgrade", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    server.on("upgrade", async (_request, socket: Duplex) => {
      await using conn = fromDuplex(socket);
      await conn.write(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
      );
      for await (const chunk of conn) await conn.write(chunk);
    });
    const { port } = server.address() as AddressInfo;
    const headers = { connection: "Upgrade", upgrade: "echo" };
    const upgrading = request({ port, host: "127.0.0.1", headers });
    upgrading.end();
    const [, socket] = (await once(upgrading, "upgrade")) as [unknown, Socket];
    await using conn = fromDuplex(socket);
    await conn.write("echo, please");
    await conn.closeWrite();
    assert.equal(Buffer.from(await readAll(conn)).toString(), "echo, please");
    server.close();
  });

  test("a readable and a writable in one: the standard streams of a child", async () => {
    const child = spawn(process.execPath, ["-e", "process.stdin.pipe(process.stdout)"]);
    const stream = Duplex.from({ readable: child.stdout, writable: child.stdin });
    await using conn = fromDuplex(stream);
    await conn.write("there and back");
    conn.setReadDeadline(inMs(30_000));
    assert.equal(await readText(conn, 14), "there and back");
    await conn.closeWrite();
    assert.equal(await conn.read(new Uint8Array(1)), null);
    assert.deepEqual(await once(child, "close"), [0, null]);
  });
});
