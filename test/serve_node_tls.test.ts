/** serve_node_tls.test.ts: programs of node:http over a listener of TLS are programs of https. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { createServer as createSecureServer, request } from "node:https";
import { describe, it, type TestContext } from "node:test";
import type { TLSSocket } from "node:tls";
import express from "express";
import fastify from "fastify";
import Koa from "koa";
import { type NodeServer, serveNode } from "../src/http/index.ts";
import { dial, type TCPAddr, type TlsServerOptions, tlsListen } from "../src/index.ts";
import { makeCertificate, selfSigned } from "../testing/certificates.ts";
import { withLeakCheck } from "../testing/leaks.ts";

const { cert, key } = selfSigned("localhost", "127.0.0.1");
const authority = makeCertificate({ commonName: "Authority", isCA: true });
const ann = makeCertificate({ commonName: "ann", issuer: authority });

function test(name: string, body: () => Promise<void>): void {
  it(name, (t) => withLeakCheck(t as TestContext, body));
}

async function over(
  program: Parameters<typeof serveNode>[1],
  options: Omit<TlsServerOptions, "cert" | "key"> = {},
): Promise<NodeServer> {
  return await serveNode(await tlsListen("tcp", "127.0.0.1:0", { cert, key, ...options }), program);
}

interface Asked {
  path?: string;
  headers?: Record<string, string>;
  cert?: string;
  key?: string;
  body?: string;
}

/** What a client of node:https gets, which closes its connection. */
async function ask(server: NodeServer, { path = "/", body, ...options }: Asked = {}) {
  const { port } = server.addr as TCPAddr;
  const asking = request({
    port,
    host: "127.0.0.1",
    servername: "localhost",
    path,
    ca: cert,
    ...{ ALPNProtocols: ["http/1.1"] }, // @types/node does not know of it here
    agent: false,
    method: body === undefined ? "GET" : "POST",
    ...options,
  });
  asking.end(body);
  const [response] = (await once(asking, "response")) as [IncomingMessage];
  let text = "";
  for await (const part of response.setEncoding("utf8")) text += part;
  return { status: response.statusCode, headers: response.headers, text };
}

describe("serveNode over TLS", () => {
  test("gives requests a socket with what programs read of a TLSSocket", async () => {
    let seen: Record<string, unknown> = {};
    const program = createServer(({ socket }, response) => {
      const tls = socket as TLSSocket;
      const { encrypted, authorized, authorizationError, alpnProtocol, servername } =
        tls as TLSSocket & { servername: unknown };
      seen = { encrypted, authorized, authorizationError, alpnProtocol, servername };
      seen.protocol = tls.getProtocol();
      seen.cipher = tls.getCipher();
      seen.peer = tls.getPeerCertificate();
      seen.x509 = tls.getPeerX509Certificate();
      seen.reused = tls.isSessionReused();
      seen.address = tls.remoteAddress;
      response.end("x");
    });
    await using server = await over(program, {
      ALPNProtocols: ["http/1.1"],
      ciphers: "ECDHE+AESGCM",
      maxVersion: "TLSv1.2",
    });
    assert.equal((await ask(server)).text, "x");
    const { name, standardName, version } = seen.cipher as ReturnType<TLSSocket["getCipher"]>;
    assert.match(name, /^ECDHE-ECDSA-AES\d+-GCM-SHA\d+$/);
    assert.match(standardName, /^TLS_ECDHE_ECDSA_WITH_AES_\d+_GCM_SHA\d+$/);
    assert.equal(version, "TLSv1.2");
    delete seen.cipher;
    assert.deepEqual(seen, {
      encrypted: true,
      authorized: false,
      authorizationError: null,
      alpnProtocol: "http/1.1",
      servername: "localhost",
      protocol: "TLSv1.2",
      peer: {},
      x509: undefined,
      reused: false,
      address: "127.0.0.1",
    });
  });

  test("says who a client is that has a certificate", async () => {
    const program = createServer(({ socket }, response) => {
      const tls = socket as TLSSocket;
      const { subject, issuer } = tls.getPeerCertificate(true);
      const { authorized, authorizationError } = tls;
      response.end(JSON.stringify({ authorized, authorizationError, subject, issuer }));
    });
    const asks = { requestCert: true, rejectUnauthorized: false, ca: authority.cert };
    await using server = await over(program, asks);
    assert.deepEqual(JSON.parse((await ask(server, { ...ann })).text), {
      authorized: true,
      authorizationError: null,
      subject: { CN: "ann" },
      issuer: { CN: "Authority" },
    });
    const stranger = selfSigned("stranger");
    const { text } = await ask(server, { cert: stranger.cert, key: stranger.key });
    const { authorized, authorizationError } = JSON.parse(text);
    assert.equal(authorized, false);
    assert.match(
      authorizationError,
      /^(DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_VERIFY_LEAF_SIGNATURE)$/,
    );
  });

  test("takes a server of node:https, which does no TLS of its own then", async () => {
    const program = createSecureServer({ cert, key }, ({ socket }, response) => {
      response.end(String((socket as TLSSocket).encrypted));
    });
    await using server = await over(program);
    assert.equal((await ask(server)).text, "true");
  });

  test("ends a connection whose client speaks no TLS, and serves the others", async () => {
    const errors: string[] = [];
    const program = createServer((_, response) => response.end("x"));
    program.on("clientError", (error, socket) => {
      errors.push((error as NodeJS.ErrnoException).code ?? "");
      socket.destroy();
    });
    await using server = await over(program);
    await using plain = await dial("tcp", String(server.addr));
    await plain.write("GET / HTTP/1.1\r\n\r\n");
    const rest: Uint8Array[] = [];
    try {
      for await (const chunk of plain) rest.push(chunk);
    } catch {
      // A reset is an end, too.
    }
    assert.doesNotMatch(Buffer.concat(rest).toString("latin1"), /HTTP/);
    assert.equal((await ask(server)).text, "x");
    assert.equal(errors.length, 1);
    assert.match(errors[0] as string, /^ERR_SSL_HTTP_REQUEST$/);
  });
});

describe("frameworks over TLS", () => {
  test("Express says https, and trusts a proxy when it is told to", async () => {
    const app = express();
    app.get("/", ({ secure, protocol, ip }, response) => {
      response.cookie("a", "1", { secure: true }).json({ secure, protocol, ip });
    });
    app.post("/echo", express.json(), (asked, response) => void response.json(asked.body));
    await using server = await over(app);
    const { text, headers } = await ask(server);
    assert.deepEqual(JSON.parse(text), { secure: true, protocol: "https", ip: "127.0.0.1" });
    assert.deepEqual(headers["set-cookie"], ["a=1; Path=/; Secure"]);
    const json = { "content-type": "application/json" };
    const echo = await ask(server, { path: "/echo", body: '{"a":1}', headers: json });
    assert.equal(echo.text, '{"a":1}');
    app.set("trust proxy", true);
    const forwarded = { "x-forwarded-proto": "http", "x-forwarded-for": "10.0.0.1" };
    assert.deepEqual(JSON.parse((await ask(server, { headers: forwarded })).text), {
      secure: false,
      protocol: "http",
      ip: "10.0.0.1",
    });
  });

  test("Koa says https, and keeps cookies that are secure", async () => {
    const app = new Koa();
    app.use((context) => {
      const { secure, protocol, href } = context;
      context.cookies.set("a", "1", { secure: true });
      context.body = { secure, protocol, href };
    });
    await using server = await over(app.callback());
    const { text, headers } = await ask(server);
    const href = `https://127.0.0.1:${(server.addr as TCPAddr).port}/`;
    assert.deepEqual(JSON.parse(text), { secure: true, protocol: "https", href });
    assert.match(String(headers["set-cookie"]), /^a=1; path=\/; secure/);
  });

  for (const trustProxy of [false, true]) {
    test(`Fastify says https${trustProxy ? ", and trusts a proxy" : ""}`, async () => {
      const app = fastify({ trustProxy });
      app.get("/", ({ protocol, ip }) => ({ protocol, ip }));
      await app.ready();
      await using server = await over(app.server as Server);
      assert.deepEqual(JSON.parse((await ask(server)).text), {
        protocol: "https",
        ip: "127.0.0.1",
      });
      const headers = { "x-forwarded-proto": "http", "x-forwarded-for": "10.0.0.1" };
      const found = trustProxy
        ? { protocol: "http", ip: "10.0.0.1" }
        : { protocol: "https", ip: "127.0.0.1" };
      assert.deepEqual(JSON.parse((await ask(server, { headers })).text), found);
      await app.close();
    });
  }
});
