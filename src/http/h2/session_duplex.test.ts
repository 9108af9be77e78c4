/** session_duplex.test.ts: what a session wrote is given back when it has left, and nothing else is. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { it, type TestContext } from "node:test";
import { selfSigned } from "../../../testing/certificates.ts";
import { withLeakCheck } from "../../../testing/leaks.ts";
import { readAll } from "../../../testing/support.ts";
import { pipe } from "../../net/pipe.ts";
import { NativeTlsConn, type TlsConn } from "../../tls/conn.ts";
import { tlsListen } from "../../tls/listen.ts";
import { dialTls, secure } from "../../tls/secure.ts";
import { SessionDuplex } from "./session_duplex.ts";

const { cert, key } = selfSigned("localhost");
const client = { ca: cert, servername: "localhost" };

async function overSockets(): Promise<[TlsConn, TlsConn]> {
  await using listener = await tlsListen("tcp", "127.0.0.1:0", { cert, key });
  const dialling = dialTls("tcp", String(listener.addr), client);
  const server = await listener.accept();
  await server.handshake();
  return [server, await dialling];
}

/** Without a socket it is node:tls that speaks, over memory that keeps what it is given. */
async function overMemory(): Promise<[TlsConn, TlsConn]> {
  const [a, b] = pipe();
  return await Promise.all([secure(a, { isServer: true, cert, key }), secure(b, client)]);
}

function bufferOf(size: number): Buffer {
  return Buffer.from(new ArrayBuffer(size)).fill("a");
}

for (const [where, pair] of Object.entries({ sockets: overSockets, memory: overMemory })) {
  for (const corked of [false, true]) {
    it(`over ${where}, ${corked ? "many writes at once" : "one write after the other"}`, (t) =>
      withLeakCheck(t as TestContext, async () => {
        const [a, b] = await pair();
        // Node 20 leaves the memory to the collector.
        const gives = a instanceof NativeTlsConn && "transfer" in ArrayBuffer.prototype;
        const duplex = new SessionDuplex(a);
        const shared = Buffer.from(new ArrayBuffer(50_000), 1000, 20_000).fill("b");
        const [large, other] = [bufferOf(100_000), bufferOf(10_000)];
        const small = bufferOf(100);
        const reading = readAll(b);
        if (corked) duplex.cork();
        for (const chunk of [large, shared, small, other]) duplex.write(chunk);
        duplex.uncork();
        duplex.end();
        const text = String(Buffer.from(await reading));
        assert.match(text, /^a{100000}b{20000}a{10100}$/);
        if (!duplex.writableFinished) await once(duplex, "finish");
        assert.equal(large.length, gives ? 0 : 100_000);
        assert.equal(other.length, gives ? 0 : 10_000);
        assert.equal(shared.length, 20_000);
        assert.equal(small.length, 100);
        duplex.destroy();
        await b.close();
      }));
  }
}
