/** tls.test.ts: what two sides of TLS ask of each other, and how they refuse. */
import assert from "node:assert/strict";
import { randomBytes, X509Certificate } from "node:crypto";
import { test } from "node:test";
import { onNodeTls } from "../../testing/backend.ts";
import { makeCertificate, selfSigned } from "../../testing/certificates.ts";
import {
  localCertificate,
  nodeTlsPair,
  type TlsPairOptions,
  tlsPair,
} from "../../testing/conns.ts";
import { withLeakCheck } from "../../testing/leaks.ts";
import { failure, inMs, readText, turn } from "../../testing/support.ts";
import {
  type Conn,
  createSecureContext,
  dial,
  dialTls,
  go,
  listen,
  type NetError,
  pipe,
  secure,
  type TlsClientOptions,
  type TlsConn,
  type TlsListener,
  type TlsServerOptions,
  tlsListen,
} from "../index.ts";

const local = localCertificate();
const authority = makeCertificate({ commonName: "Authority", isCA: true });
const leaf = makeCertificate({ names: ["localhost", "127.0.0.1"], issuer: authority });

/** A test of both ways of speaking TLS: on a socket by the addon, and over node:tls. */
function both(
  name: string,
  run: (pair: (options?: TlsPairOptions) => ReturnType<typeof tlsPair>) => Promise<void>,
): void {
  test(name, (t) => withLeakCheck(t, () => run(tlsPair)));
  test(`${name} (node:tls)`, (t) => withLeakCheck(t, () => run(nodeTlsPair)));
}

/** Serves handshakes, and tells how each went. */
class Door implements AsyncDisposable {
  readonly listener: TlsListener;
  readonly results: Promise<unknown>[] = [];

  constructor(listener: TlsListener) {
    this.listener = listener;
    go(async () => {
      for await (const conn of listener) this.results.push(this.greet(conn));
    });
  }

  private async greet(conn: TlsConn): Promise<unknown> {
    try {
      await conn.handshake();
      await conn.write("welcome");
      await conn.closeWrite();
      while ((await conn.read(new Uint8Array(100))) !== null);
      return undefined;
    } catch (error) {
      return error;
    } finally {
      await conn.close();
    }
  }

  get address(): string {
    return String(this.listener.addr);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.listener.close();
    await Promise.all(this.results);
  }
}

async function door(options: TlsServerOptions): Promise<Door> {
  return new Door(await tlsListen("tcp", "127.0.0.1:0", options));
}

/** Connects, reads the greeting, and gives the connection to `look` before it closes it. */
async function visit<T>(
  to: Door,
  options: TlsClientOptions,
  look: (conn: TlsConn) => T,
): Promise<T> {
  await using conn = await dialTls("tcp", to.address, options);
  assert.equal(await readText(conn, 7), "welcome");
  return look(conn);
}

async function refused(to: Door, options: TlsClientOptions, code: string): Promise<NetError> {
  return await failure(
    dialTls("tcp", to.address, options).then((conn) => conn.close()),
    code,
  );
}

// ---- what both agree upon

both("both sides know version, cipher, protocol, name and certificate", async (pair) => {
  await using ends = await pair({
    server: { ALPNProtocols: ["h2", "http/1.1"] },
    client: { ALPNProtocols: ["http/1.1", "h2"] },
  });
  for (const end of [ends.a, ends.b]) {
    assert.equal(end.protocol, "TLSv1.3");
    assert.equal(end.cipher, "TLS_AES_128_GCM_SHA256");
    assert.equal(end.alpnProtocol, "h2", "the server's order counts");
    assert.equal(end.servername, "localhost");
    assert.equal(end.sessionReused, false);
  }
  assert.equal(ends.a.authorized, true);
  assert.equal(ends.a.authorizationError, undefined);
  assert.equal(ends.b.authorized, false);
  assert.equal(ends.b.peerCertificate, undefined);
  const der = new X509Certificate(local.cert).raw;
  assert.ok(ends.a.peerCertificate?.raw.equals(der));
});

both("TLS 1.2 has the same", async (pair) => {
  await using ends = await pair({ client: { maxVersion: "TLSv1.2" } });
  assert.equal(ends.a.protocol, "TLSv1.2");
  assert.equal(ends.b.cipher, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
});

both("a client's certificate is verified and known to the server", async (pair) => {
  const client = makeCertificate({ commonName: "a client", issuer: authority });
  await using ends = await pair({
    server: { requestCert: true, ca: authority.cert },
    client: { cert: client.cert, key: client.key },
  });
  assert.equal(ends.b.authorized, true);
  assert.match(ends.b.peerCertificate?.subject ?? "", /a client/);
});

both(
  "a client's certificate that cannot be verified is let in where that is said",
  async (pair) => {
    const client = selfSigned("stranger");
    await using ends = await pair({
      server: { requestCert: true, rejectUnauthorized: false, ca: authority.cert },
      client: { cert: client.cert, key: client.key },
    });
    assert.equal(ends.b.authorized, false);
    assert.equal(ends.b.authorizationError, "DEPTH_ZERO_SELF_SIGNED_CERT");
  },
);

both("the key log has the lines that Wireshark wants", async (pair) => {
  const lines: string[] = [];
  await using ends = await pair({ client: { keylog: (line) => lines.push(line) } });
  await ends.a.write("x");
  const kinds = new Set(lines.map((line) => line.split(" ")[0]));
  for (const kind of ["CLIENT_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0"]) {
    assert.ok(kinds.has(kind), `${[...kinds]}`);
  }
});

both("a chain is sent with the certificate", async (pair) => {
  const middle = makeCertificate({ commonName: "Middle", isCA: true, issuer: authority });
  const end = makeCertificate({ names: ["localhost"], issuer: middle });
  await using ends = await pair({
    server: { cert: end.cert + middle.cert, key: end.key },
    client: { ca: authority.cert },
  });
  assert.equal(ends.a.authorized, true);
  assert.ok(ends.a.peerCertificates.length >= 2);
});

// ---- names

test("each name gets its certificate: from the map, by wildcard, from the callback, or the server's own", async () => {
  const named = (name: string) => makeCertificate({ names: [name], issuer: authority });
  const [one, wild, late] = [named("one.test"), named("*.wild.test"), named("late.test")];
  await using to = await door({
    cert: leaf.cert,
    key: leaf.key,
    contexts: { "One.Test": one, "*.wild.test": createSecureContext(wild) },
    SNICallback: async (name) => {
      await turn();
      return name === "late.test" ? late : null;
    },
  });
  const subject = (servername: string): Promise<string | undefined> =>
    visit(to, { ca: authority.cert, servername }, (conn) => conn.peerCertificate?.subject);
  assert.equal(await subject("one.test"), "CN=one.test");
  assert.equal(await subject("a.wild.test"), "CN=*.wild.test");
  assert.equal(await subject("late.test"), "CN=late.test");
  assert.equal(await subject("localhost"), "CN=localhost");
});

test("an SNICallback that throws refuses the client, and its error is the cause", async (t) => {
  if (onNodeTls) return t.skip("node:tls drops the connection without a word");
  const reason = new Error("no such customer");
  await using to = await door({
    cert: leaf.cert,
    key: leaf.key,
    SNICallback: async () => {
      throw reason;
    },
  });
  await refused(to, { ca: authority.cert }, "ERR_SSL_TLSV1_UNRECOGNIZED_NAME");
  assert.equal(((await to.results[0]) as NetError).cause, reason);
});

test("a client that leaves while the SNICallback thinks leaves nothing behind", async (t) => {
  await withLeakCheck(t, async () => {
    let answer: (value: null) => void = () => {};
    const asked = later();
    await using to = await door({
      ...leaf,
      SNICallback: () => {
        asked.resolve(undefined);
        return new Promise<null>((resolve) => {
          answer = resolve;
        });
      },
    });
    const cancel = new AbortController();
    // node:tls asks for a name that there is.
    const dialling = dialTls("tcp", to.address, { servername: "localhost", signal: cancel.signal });
    await asked.promise;
    cancel.abort();
    await failure(dialling, "ERR_CANCELED");
    answer(null);
    assert.ok((await to.results[0]) instanceof Error);
  });
});

function later(): { promise: Promise<unknown>; resolve(value: unknown): void } {
  let resolve: (value: unknown) => void = () => {};
  const promise = new Promise((yes) => {
    resolve = yes;
  });
  return { promise, resolve };
}

// ---- refusals

test("wrong host, expired, self-signed, unknown issuer: four different errors", async () => {
  const other = makeCertificate({ names: ["other.test"], issuer: authority });
  const old = makeCertificate({
    names: ["127.0.0.1"],
    issuer: authority,
    notBefore: new Date("2001-01-01"),
    notAfter: new Date("2001-02-01"),
  });
  const cases: [{ cert: string; key: string }, TlsClientOptions, string][] = [
    [other, { ca: authority.cert }, "ERR_TLS_CERT_ALTNAME_INVALID"],
    [old, { ca: authority.cert }, "CERT_HAS_EXPIRED"],
    [local, {}, "DEPTH_ZERO_SELF_SIGNED_CERT"],
    [leaf, {}, /* Node names it by what is missing first */ "UNABLE_TO"],
  ];
  for (const [{ cert, key }, client, code] of cases) {
    await using to = await door({ cert, key });
    const error = await dialTls("tcp", to.address, client).catch((failed: NetError) => failed);
    assert.ok(error instanceof Error, code);
    assert.ok(error.code.startsWith(code), `${error.code} instead of ${code}`);
    assert.equal(error.op, "handshake");
    assert.match(error.message, /certificate/);
    if (!onNodeTls) assert.match(error.message, /;/, "what to do is said");
  }
});

test("a name in the subject alone is no name", async () => {
  const cert = makeCertificate({ commonName: "localhost", issuer: authority });
  await using to = await door(cert);
  const options = { ca: authority.cert, servername: "localhost" };
  await refused(to, options, "ERR_TLS_CERT_ALTNAME_INVALID");
});

test("rejectUnauthorized: false lets every certificate pass, and tells", async () => {
  await using to = await door(local);
  const [authorized, error] = await visit(to, { rejectUnauthorized: false }, (conn) => [
    conn.authorized,
    conn.authorizationError,
  ]);
  assert.equal(authorized, false);
  assert.equal(error, "DEPTH_ZERO_SELF_SIGNED_CERT");
});

test("a client without the certificate that is required is refused", async (t) => {
  if (onNodeTls) return t.skip("node:tls tells the client nothing");
  await using to = await door({ ...leaf, requestCert: true, ca: authority.cert });
  // In TLS 1.3 a client is done before the server has looked at its certificate (RFC 8446, 4.4).
  await using conn = await dialTls("tcp", to.address, { ca: authority.cert });
  await failure(conn.read(new Uint8Array(9)), "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED");
  const error = (await to.results[0]) as NetError;
  assert.equal(error.code, "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE");
  assert.equal(error.op, "handshake");
});

test("no common protocol, version or cipher is said on both sides", async (t) => {
  if (onNodeTls) return t.skip("node:tls has other words");
  await using to = await door({ ...leaf, minVersion: "TLSv1.3", ALPNProtocols: ["a"] });
  const ca = authority.cert;
  await refused(to, { ca, ALPNProtocols: ["b"] }, "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL");
  await refused(to, { ca, maxVersion: "TLSv1.2" }, "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION");
  const codes = (await Promise.all(to.results)).map((error) => (error as NetError).code);
  assert.deepEqual(codes, ["ERR_SSL_NO_APPLICATION_PROTOCOL", "ERR_SSL_UNSUPPORTED_PROTOCOL"]);
});

test("a peer that does not speak TLS is said to do so, in both roles", async (t) => {
  if (onNodeTls) return t.skip("node:tls has other words");
  await using to = await door(leaf);
  await using plain = await dial("tcp", to.address);
  await plain.write("GET / HTTP/1.1\r\n\r\n");
  while (to.results.length === 0) await turn();
  const error = (await to.results[0]) as NetError;
  assert.equal(error.code, "ERR_SSL_HTTP_REQUEST");
  assert.match(error.message, /without TLS/);

  await using listener = await listen("tcp", "127.0.0.1:0");
  const accepting = listener.accept();
  const dialling = dialTls("tcp", String(listener.addr), {});
  const conn = await accepting;
  await conn.write("220 ready\r\n");
  await failure(dialling, "ERR_SSL_WRONG_VERSION_NUMBER");
  await conn.close();
});

test("options that make no sense are errors of the caller", async () => {
  const address = "127.0.0.1:1";
  await assert.rejects(tlsListen("tcp", address, {}), TypeError);
  await assert.rejects(tlsListen("unixpacket" as never, "@x", leaf), TypeError);
  await assert.rejects(dialTls("tcp", address, { minVersion: "SSLv3" as never }), TypeError);
  await assert.rejects(dialTls("tcp", address, { handshakeTimeout: 0 }), RangeError);
  await assert.rejects(dialTls("tcp", address, { ticketKeys: new Uint8Array(47) }), RangeError);
  await assert.rejects(secure(pipe()[0], {}), /servername/);
  await assert.rejects(secure({} as Conn, {}), TypeError);
  const cases: [Parameters<typeof createSecureContext>[0], RegExp][] = [
    [{ cert: "none" }, /cert.*no start line/],
    [{ cert: leaf.cert, key: local.key }, /values mismatch/],
    [{ ciphers: "NONSENSE" }, /no cipher match/],
    [{ ecdhCurve: "nothing" }, /./],
    [{ cert: leaf.cert, key: encrypted(), passphrase: "wrong" }, /./],
  ];
  for (const [options, message] of cases) {
    assert.throws(() => createSecureContext(options), message, JSON.stringify(options));
  }
});

function encrypted(): string {
  const { key } = leaf.signer;
  return key
    .export({ type: "pkcs8", format: "pem", cipher: "aes-128-cbc", passphrase: "right" })
    .toString();
}

test("an encrypted key is opened with its passphrase", async () => {
  await using to = await door({ cert: leaf.cert, key: encrypted(), passphrase: "right" });
  await visit(to, { ca: authority.cert }, (conn) => assert.equal(conn.authorized, true));
});

// ---- time, and the end of the stream

test("a client that says nothing fails by the handshake's timeout, and holds up nobody", async (t) => {
  await withLeakCheck(t, async () => {
    await using to = await door({ ...leaf, handshakeTimeout: 40 });
    await using silent = await dial("tcp", to.address);
    await visit(to, { ca: authority.cert }, () => {});
    const error = (await to.results[0]) as NetError;
    assert.equal(error.timeout, true);
    await silent.close();
  });
});

test("operations before the handshake is done wait for it, each with its own deadline and signal", async () => {
  await using listener = await tlsListen("tcp", "127.0.0.1:0", leaf);
  await using plain = await dial("tcp", String(listener.addr));
  await using server: TlsConn = await listener.accept();
  const reading = server.read(new Uint8Array(10));
  const queued = server.read(new Uint8Array(10));
  const writing = server.write("from the server");
  server.setReadDeadline(inMs(10));
  await failure(reading, "ERR_DEADLINE");
  await failure(queued, "ERR_DEADLINE");
  server.setReadDeadline(null);
  const stop = new AbortController();
  const canceled = failure(server.read(new Uint8Array(1), { signal: stop.signal }), "ERR_CANCELED");
  stop.abort();
  await canceled;
  const again = readText(server, 11);
  await using client = await secure(plain, { ca: authority.cert });
  assert.equal(await writing, 15);
  assert.equal(await readText(client, 15), "from the server");
  await client.write("from client");
  assert.equal(await again, "from client");
});

test("after STARTTLS the bytes that were read ahead are the peer's first", async () => {
  for (const take of [0, 1, 200, 100_000]) {
    await using listener = await listen("tcp", "127.0.0.1:0");
    const accepting = listener.accept();
    const plain = await dial("tcp", String(listener.addr));
    const conn = await accepting;
    const client = go(() => secure(plain, { ca: authority.cert }));
    if (take > 0) {
      const buffer = new Uint8Array(take);
      const n = (await conn.read(buffer)) ?? 0;
      conn.unread(buffer.subarray(0, n));
    }
    await using server = await secure(conn, { ...leaf, isServer: true });
    await using secured = await client.join();
    await secured.write("hello");
    assert.equal(await readText(server, 5), "hello");
    // node:tls reads from the conn itself: who reads from it as well waits.
    if (!onNodeTls) await failure(conn.read(new Uint8Array(1)), "ERR_CLOSED");
  }
});

test("a connection on which somebody waits is not secured", async () => {
  await using listener = await listen("tcp", "127.0.0.1:0");
  const accepting = listener.accept();
  await using plain = await dial("tcp", String(listener.addr));
  await using conn = await accepting;
  const reading = plain.read(new Uint8Array(1));
  await failure(secure(plain, { ca: authority.cert }), "ERR_BUSY");
  await conn.write("x");
  assert.equal(await reading, 1);
});

test("TLS in TLS, and over a pipe", async () => {
  await using outer = await tlsPair();
  const [a, b] = await Promise.all([
    secure(outer.a, { ca: authority.cert, servername: "localhost" }),
    secure(outer.b, { ...leaf, isServer: true }),
  ]);
  await a.write("inner");
  assert.equal(await readText(b, 5), "inner");
  await a.close();
  assert.equal(await b.read(new Uint8Array(1)), null);
  await b.close();
});

// ---- sessions, staples, new certificates

test("a session is resumed, in TLS 1.3 and 1.2, by any listener of the same certificate", async () => {
  for (const maxVersion of ["TLSv1.3", "TLSv1.2"] as const) {
    await using one = await door(leaf);
    await using two = await door(leaf);
    const options = { ca: authority.cert, maxVersion };
    const session: Uint8Array | undefined = await visit(one, options, (conn) => conn.session);
    assert.ok(session !== undefined && session.length > 0);
    for (const to of [one, two]) {
      const reused: boolean = await visit(
        to,
        { ...options, session },
        (conn) => conn.sessionReused,
      );
      assert.equal(reused, true, maxVersion);
      if (onNodeTls) break;
    }
  }
});

test("a session is not resumed where clients need a certificate and it was begun without", async () => {
  await using open = await door(leaf);
  await using strict = await door({ ...leaf, requestCert: true, rejectUnauthorized: false });
  const session = await visit(open, { ca: authority.cert }, (conn) => conn.session);
  const options = { ca: authority.cert, ...(session === undefined ? {} : { session }) };
  const reused = await visit(strict, options, (conn) => conn.sessionReused);
  assert.equal(reused, false);
});

test("ticket keys can be told, and rotated", async (t) => {
  if (onNodeTls) return t.skip("node:tls has one key");
  const [old, fresh] = [randomBytes(48), randomBytes(48)];
  await using one = await door({ ...leaf, ticketKeys: old });
  await using two = await door({ ...leaf, ticketKeys: [fresh, old] });
  await using three = await door({ ...leaf, ticketKeys: fresh });
  const options = { ca: authority.cert };
  const session = await visit(one, options, (conn) => conn.session);
  assert.ok(session);
  const at = (to: Door): Promise<boolean> =>
    visit(to, { ...options, session }, (conn) => conn.sessionReused);
  assert.equal(await at(two), true, "the old key still opens");
  assert.equal(await at(three), false, "it is gone");
});

test("a renewed certificate needs no new listener, and a wrong one changes nothing", async () => {
  await using to = await door(leaf);
  const renewed = makeCertificate({ names: ["127.0.0.1", "renewed"], issuer: authority });
  const serial = (): Promise<string | undefined> =>
    visit(to, { ca: authority.cert }, (conn) => conn.peerCertificate?.serialNumber);
  const before = await serial();
  assert.throws(
    () => to.listener.setSecureContext({ cert: leaf.cert, key: local.key }),
    /mismatch/,
  );
  assert.equal(await serial(), before);
  to.listener.setSecureContext(renewed);
  assert.equal(await serial(), new X509Certificate(renewed.cert).serialNumber);
});

test("an OCSP answer is stapled for those who ask", async (t) => {
  if (onNodeTls) return t.skip("node:tls staples by an event of its server");
  const answer = randomBytes(300);
  await using to = await door({ ...leaf, ocspResponse: answer });
  const ca = authority.cert;
  const got = await visit(to, { ca, requestOCSP: true }, (conn) => conn.ocspResponse);
  assert.deepEqual(got && Buffer.from(got), answer);
  assert.equal(await visit(to, { ca }, (conn) => conn.ocspResponse), undefined);
});

test("serve and toDuplex work on TLS as on any conn", async () => {
  const { serve, Response } = await import("../http/index.ts");
  const listener = await tlsListen("tcp", "127.0.0.1:0", leaf);
  await using server = await serve(listener, () => new Response("over TLS"));
  await using conn = await dialTls("tcp", String(server.addr), { ca: authority.cert });
  await conn.write("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  let text = "";
  for await (const chunk of conn) text += Buffer.from(chunk).toString();
  assert.match(text, /^HTTP\/1.1 200 .*over TLS$/s);
});
