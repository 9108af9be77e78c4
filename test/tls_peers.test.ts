/** tls_peers.test.ts: Coronet and node:tls understand each other, in either role. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import tls from "node:tls";
import { type Conn, dialTls, go, type TlsConn, type TlsListener, tlsListen } from "../src/index.ts";
import { onPortable } from "../testing/backend.ts";
import { type Certificate, makeCertificate } from "../testing/certificates.ts";
import { assertSameBytes, failure, pattern, readAll, readFull } from "../testing/support.ts";

const authority = makeCertificate({ commonName: "Authority", isCA: true });
const certificates = {
  rsa: makeCertificate({ names: ["localhost", "127.0.0.1"], issuer: authority, type: "rsa" }),
  ecdsa: makeCertificate({ names: ["localhost", "127.0.0.1"], issuer: authority }),
};
const ca = authority.cert;
const VERSIONS = ["TLSv1.2", "TLSv1.3"] as const;
const MIB = 1 << 20;

async function echo(conn: Conn): Promise<void> {
  await using _ = conn;
  for await (const chunk of conn) await conn.write(chunk);
}

async function echoing({ cert, key }: Certificate, options = {}): Promise<TlsListener> {
  const listener = await tlsListen("tcp", "127.0.0.1:0", { cert, key, ...options });
  go(async () => {
    for await (const conn of listener) go(echo, conn);
  });
  return listener;
}

interface NodeServer extends AsyncDisposable {
  address: string;
}

async function nodeServer(
  options: tls.TlsOptions,
  serve: (socket: tls.TLSSocket) => void,
): Promise<NodeServer> {
  const server = tls.createServer(options, serve).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.close();
      await once(server, "close");
    },
  };
}

async function collect(socket: tls.TLSSocket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function nodeClient(address: string, options: tls.ConnectionOptions = {}): tls.TLSSocket {
  const port = Number(address.split(":").at(-1));
  return tls.connect({ port, host: "127.0.0.1", servername: "localhost", ca, ...options });
}

for (const version of VERSIONS) {
  for (const [type, certificate] of Object.entries(certificates)) {
    test(`${version}, ${type}: a client of node:tls gets its 1 MiB back`, async () => {
      await using listener = await echoing(certificate);
      const socket = nodeClient(String(listener.addr), { maxVersion: version });
      const sent = pattern(MIB);
      socket.end(sent);
      assertSameBytes(await collect(socket), sent);
      await listener.close();
    });

    test(`${version}, ${type}: a server of node:tls gives 1 MiB back`, async () => {
      const options = { cert: certificate.cert, key: certificate.key, maxVersion: version };
      await using server = await nodeServer(options, (socket) => socket.pipe(socket));
      await using conn = await dialTls("tcp", server.address, { ca });
      const sent = pattern(MIB);
      const writing = conn.write(sent).then(() => conn.closeWrite());
      assertSameBytes(await readAll(conn), sent);
      await writing;
      assert.equal(conn.protocol, version);
    });
  }
}

test("a client of node:tls resumes its session", async () => {
  await using listener = await echoing(certificates.ecdsa);
  for (const maxVersion of VERSIONS) {
    const first = nodeClient(String(listener.addr), { maxVersion });
    const [session] = await once(first, "session");
    first.destroy();
    const second = nodeClient(String(listener.addr), { maxVersion, session });
    await once(second, "secureConnect");
    assert.equal(second.isSessionReused(), true, maxVersion);
    second.end("x");
    assert.equal(String(await collect(second)), "x");
  }
});

test("a session of a server of node:tls is resumed", async () => {
  const { cert, key } = certificates.ecdsa;
  await using server = await nodeServer({ cert, key }, (socket) => {
    socket.on("error", () => {});
    // One that ends at once says no close_notify.
    socket.once("data", () => socket.end("hello"));
  });
  let session: Uint8Array | undefined;
  for (const reused of [false, true]) {
    const options = session === undefined ? { ca } : { ca, session };
    await using conn = await dialTls("tcp", server.address, options);
    await conn.write("hello?");
    assert.equal(Buffer.from(await readAll(conn)).toString(), "hello");
    assert.equal(conn.sessionReused, reused);
    session = conn.session;
  }
});

test("a client of node:tls sends a certificate, asks for a name and offers protocols", async () => {
  const { cert, key } = certificates.ecdsa;
  const client = makeCertificate({ commonName: "client", issuer: authority });
  const options = { cert, key, requestCert: true, ca, ALPNProtocols: ["b", "a"] };
  await using listener = await tlsListen("tcp", "127.0.0.1:0", options);
  const socket = nodeClient(String(listener.addr), {
    cert: client.cert,
    key: client.key,
    ALPNProtocols: ["a", "b"],
  });
  await using conn: TlsConn = await listener.accept();
  await conn.handshake();
  assert.equal(conn.authorized, true);
  assert.equal(conn.peerCertificate?.subject, "CN=client");
  assert.equal(conn.servername, "localhost");
  assert.equal(conn.alpnProtocol, "b");
  socket.destroy();
});

test("a peer that sends records of one byte is read completely, both ways", async () => {
  const { cert, key } = certificates.ecdsa;
  const sent = pattern(2000);
  await using server = await nodeServer({ cert, key }, (socket) => {
    const next = (i: number): void => {
      if (i === sent.length) socket.end();
      else socket.write(sent.subarray(i, i + 1), () => next(i + 1));
    };
    next(0);
  });
  await using conn = await dialTls("tcp", server.address, { ca });
  assertSameBytes(await readAll(conn), sent);

  await using listener = await echoing(certificates.ecdsa);
  await using own = await dialTls("tcp", String(listener.addr), { ca });
  const back = readFull(own, sent.length);
  for (let i = 0; i < sent.length; i++) await own.write(sent.subarray(i, i + 1));
  assertSameBytes(await back, sent);
});

test("a peer of node:tls that vanishes without close_notify has cut its stream off", async () => {
  const { cert, key } = certificates.ecdsa;
  await using server = await nodeServer({ cert, key }, (socket) => {
    socket.on("error", () => {});
    socket.write("half", () => {
      // The socket below ends; TLS is not told.
      const { _parent: parent } = socket as unknown as { _parent: { end(): void } | null };
      if (parent) parent.end();
      else socket.destroy();
    });
  });
  await using conn = await dialTls("tcp", server.address, { ca });
  assert.equal(Buffer.from(await readFull(conn, 4)).toString(), "half");
  await failure(conn.read(new Uint8Array(4)), "ERR_TLS_TRUNCATED");
});

test("many MiB go both ways at once through small buffers of sockets", async () => {
  const small = onPortable ? {} : { readBuffer: 4096, writeBuffer: 4096 };
  await using listener = await echoing(certificates.ecdsa, small);
  await using conn = await dialTls("tcp", String(listener.addr), { ca, ...small });
  const block = pattern(MIB);
  const rounds = Number(process.env.CORONET_TLS_MIB ?? 16);
  const writing = (async () => {
    for (let i = 0; i < rounds; i++)
      await conn.writev([block.subarray(0, 70_000), block.subarray(70_000)]);
    await conn.closeWrite();
  })();
  let at = 0;
  for await (const chunk of conn) {
    for (let done = 0; done < chunk.length; ) {
      const from = (at + done) % MIB;
      const part = chunk.subarray(done, done + MIB - from);
      if (Buffer.compare(part, block.subarray(from, from + part.length)) !== 0)
        assert.fail(`at ${at}`);
      done += part.length;
    }
    at += chunk.length;
  }
  assert.equal(at, rounds * MIB);
  await writing;
});
