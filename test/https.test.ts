/** https.test.ts: HTTP/1.1 over TLS: the server, the client, WebSockets and the proxy. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import {
  createSecureServer as createHttp2Server,
  type Http2SecureServer,
  performServerHandshake,
} from "node:http2";
import { Agent, request as httpsRequest } from "node:https";
import { type AddressInfo, connect as connectPlain } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { createServer as createTlsServer, type Server as TlsServer } from "node:tls";
import {
  Client,
  dialWebSocket,
  FetchError,
  fetch,
  type Handler,
  Response,
  reverseProxy,
  type ServeOptions,
  type Server,
  serve,
  serveFiles,
  upgradeWebSocket,
} from "../src/http/index.ts";
import {
  closeIdle,
  createSecureContext,
  dial,
  dialTls,
  poolStats,
  type TCPAddr,
  TlsConn,
} from "../src/index.ts";
import { onNodeTls } from "../testing/backend.ts";
import { type Certificate, makeCertificate, selfSigned } from "../testing/certificates.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { readAll } from "../testing/support.ts";
import { until } from "./served.ts";

const { cert, key } = selfSigned("localhost", "127.0.0.1");
const authority = makeCertificate({ commonName: "Authority", isCA: true });
const [leaf, renewed] = [1, 2].map(() =>
  makeCertificate({ names: ["localhost", "127.0.0.1"], issuer: authority }),
) as [Certificate, Certificate];

function checked(name: string, body: (t: TestContext) => Promise<void>): void {
  it(name, (t) =>
    withLeakCheck(t as TestContext, async () => {
      try {
        await body(t as TestContext);
      } finally {
        closeIdle();
      }
    }),
  );
}

/** Where a server of Node's own listens now. */
async function listening(server: TlsServer | Http2SecureServer): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function closed(server: TlsServer | Http2SecureServer): Promise<void> {
  server.close();
  await once(server, "close");
}

function secured(handler: Handler, options: ServeOptions = {}): Promise<Server> {
  return serve("127.0.0.1:0", handler, { tls: { cert, key }, ...options });
}

function urlOf({ addr }: Server): string {
  return `https://${addr}`;
}

const ca = { tls: { ca: cert } };

async function failure(fetching: Promise<unknown>): Promise<FetchError> {
  try {
    await fetching;
  } catch (error) {
    assert.ok(error instanceof FetchError, String(error));
    return error;
  }
  return assert.fail("it did not fail");
}

describe("a server over TLS", () => {
  checked("tells its handler of an url of https:, and of the connection", async () => {
    await using server = await secured((request, info) => {
      assert.ok(info.conn instanceof TlsConn);
      const { protocol, alpnProtocol } = info.conn;
      return new Response(`${request.url} ${protocol} ${alpnProtocol}`);
    });
    const url = urlOf(server);
    const answer = await (await fetch(`${url}/a?b`, ca)).text();
    assert.equal(answer, `${url}/a?b TLSv1.3 http/1.1`);
  });

  checked("knows the client's certificate", async () => {
    const client = makeCertificate({ commonName: "ada" });
    await using server = await secured(
      (_, info) => new Response(String((info.conn as TlsConn).peerCertificate?.subject)),
      { tls: { cert, key, requestCert: true, ca: client.cert } },
    );
    const tls = { ca: cert, cert: client.cert, key: client.key };
    assert.equal(await (await fetch(urlOf(server), { tls })).text(), "CN=ada");
    const error = await failure(fetch(urlOf(server), ca));
    assert.match(error.code, /CERTIFICATE_REQUIRED|ECONNRESET|TRUNCATED|EPIPE|UNEXPECTED_EOF/);
    await until("it is counted", () => server.stats.failedHandshakes === 1);
  });

  checked("tells a client without TLS so, and counts it", async (t) => {
    const failed: string[] = [];
    await using server = await secured(() => new Response("x"), {
      hooks: { handshakeFailed: (error) => failed.push((error as { code?: string }).code ?? "") },
    });
    await using conn = await dial("tcp", String(server.addr));
    await conn.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    const answer = Buffer.from(await readAll(conn).catch(() => new Uint8Array())).toString();
    assert.equal(server.stats.failedHandshakes, 1);
    assert.equal(failed.length, 1);
    if (onNodeTls) return t.diagnostic("node:tls keeps the socket: the connection is closed");
    assert.match(answer, /^HTTP\/1\.1 400 [\s\S]*This port speaks HTTPS/);
    assert.deepEqual(failed, ["ERR_SSL_HTTP_REQUEST"]);
  });

  checked("ends clients that begin no handshake, and serves others meanwhile", async () => {
    await using server = await secured(() => new Response("x"), { limits: { headerTime: 200 } });
    await using silent = await dial("tcp", String(server.addr));
    assert.equal(await (await fetch(urlOf(server), ca)).text(), "x");
    assert.equal((await readAll(silent)).length, 0);
    await until("it is counted", () => server.stats.failedHandshakes === 1);
  });

  checked(
    "survives garbage and connections that are cut at every byte of a handshake",
    async () => {
      await using server = await secured(() => new Response("x"));
      const hello = await clientHello();
      for (let length = 1; length < hello.length; length += 37) {
        const socket = connectPlain((server.addr as TCPAddr).port, "127.0.0.1");
        socket.on("error", () => {});
        socket.write(hello.subarray(0, length));
        await once(socket, "connect");
        if (length % 2 === 0) socket.resetAndDestroy();
        else socket.destroy();
        await once(socket, "close");
      }
      assert.equal(await (await fetch(urlOf(server), ca)).text(), "x");
      closeIdle();
      await until("all of them are gone", () => server.size === 0);
    },
  );

  checked("takes and gives 64 MB, from memory, from streams and from files", async () => {
    const folder = await mkdtemp(join(tmpdir(), "coronet-https-"));
    const bytes = Buffer.alloc(64 << 20, "coronet");
    await writeFile(join(folder, "big"), bytes);
    const files = serveFiles(folder);
    await using server = await secured(
      async (request, info) => {
        if (request.method === "POST") return new Response(request.body);
        if (info.target === "/memory") return new Response(bytes);
        return await files(request);
      },
      { limits: { body: Infinity } },
    );
    const url = urlOf(server);
    for (const path of ["/memory", "/big"]) {
      assert.ok(bytes.equals(await (await fetch(url + path, ca)).bytes()), path);
    }
    const echoed = await fetch(url, { ...ca, method: "POST", body: bytes });
    assert.ok(bytes.equals(await echoed.bytes()));
    const part = await fetch(`${url}/big`, { ...ca, headers: { range: "bytes=7-13" } });
    assert.deepEqual([part.status, await part.text()], [206, "coronet"]);
    await rm(folder, { recursive: true });
  });

  checked("does not end a body properly that has failed", async () => {
    await using server = await secured(
      () => {
        async function* broken() {
          yield "part";
          throw new Error("no more");
        }
        return new Response(broken());
      },
      { onError: () => {} },
    );
    const conn = await dialTls("tcp", String(server.addr), { ca: cert });
    await conn.write("GET / HTTP/1.0\r\n\r\n");
    await assert.rejects(readAll(conn), onNodeTls ? Error : { code: /ECONNRESET|TRUNCATED/ });
    await conn.close();
  });

  checked("exchanges its certificate under load, and loses no request", async () => {
    await using server = await secured((request) => new Response(new URL(request.url).pathname), {
      tls: leaf,
    });
    const url = urlOf(server);
    const tls = { ca: authority.cert };
    let stop = false;
    let served = 0;
    const load = async (): Promise<void> => {
      const client = new Client({ tls });
      while (!stop) {
        const headers = served % 3 === 0 ? { connection: "close" } : undefined;
        const answer = await client.fetch(`${url}/x`, headers === undefined ? {} : { headers });
        assert.equal(await answer.text(), "/x");
        served++;
      }
      client.closeIdle();
    };
    const loads = Array.from({ length: 8 }, load);
    for (const each of [renewed, leaf, renewed]) {
      const before = served;
      await until("requests were served", () => served >= before + 40);
      server.setSecureContext(each);
    }
    stop = true;
    await Promise.all(loads);
    await using conn = await dialTls("tcp", String(server.addr), { ca: authority.cert });
    const { serialNumber } = new X509Certificate(renewed.cert);
    assert.equal(conn.peerCertificate?.serialNumber, serialNumber);
    assert.throws(() => server.setSecureContext({ cert: "none" }), /cert/);
    assert.equal(server.stats.failedHandshakes, 0);
  });

  checked("has certificates by name, and HTTP/2 for each of them", async () => {
    const one = selfSigned("one.example");
    await using server = await secured(() => new Response(""), {
      tls: { cert, key, contexts: { "one.example": { cert: one.cert, key: one.key } } },
    });
    for (const [servername, trusted] of [
      ["one.example", one.cert],
      ["localhost", cert],
    ] as const) {
      const options = { servername, ca: trusted, ALPNProtocols: ["h2", "http/1.1"] };
      await using conn = await dialTls("tcp", String(server.addr), options);
      assert.equal(conn.alpnProtocol, "h2");
    }
  });

  checked(
    "drains: what is under way is answered, handshakes and idle connections end",
    async () => {
      let let_go = (): void => {};
      const gate = new Promise<void>((resolve) => {
        let_go = resolve;
      });
      const server = await secured(async () => {
        await gate;
        return new Response("late");
      });
      await using silent = await dial("tcp", String(server.addr));
      const answering = fetch(urlOf(server), ca);
      await until("it has begun", () => server.stats.requests === 1 && server.size === 2);
      const stopped = server.shutdown();
      assert.equal((await readAll(silent).catch(() => new Uint8Array())).length, 0);
      let_go();
      assert.equal(await (await answering).text(), "late");
      await stopped;
      assert.equal(server.stats.failedHandshakes, 0);
    },
  );

  checked("serves clients of node:https, kept alive and resumed", async () => {
    await using server = await secured((_, info) => {
      return new Response(String((info.conn as TlsConn).sessionReused));
    });
    const { port } = server.addr as TCPAddr;
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: cert });
    const ask = async (headers: Record<string, string>): Promise<string> => {
      const request = httpsRequest({ port, host: "localhost", agent, headers }).end();
      const [response] = await once(request, "response");
      let text = "";
      for await (const chunk of response) text += chunk;
      return text;
    };
    assert.equal(await ask({}), "false");
    assert.equal(await ask({ connection: "close" }), "false");
    assert.equal(await ask({}), "true");
    agent.destroy();
  });
});

async function clientHello(): Promise<Buffer> {
  const { createServer } = await import("node:net");
  const sink = createServer().listen(0, "127.0.0.1");
  await once(sink, "listening");
  const { port } = sink.address() as { port: number };
  const [[socket]] = await Promise.all([
    once(sink, "connection"),
    dialTls("tcp", `127.0.0.1:${port}`, { handshakeTimeout: 200, ca: cert }).catch(() => {}),
  ]);
  const hello = socket.read() ?? (await once(socket, "data"))[0];
  socket.destroy();
  sink.close();
  return hello as Buffer;
}

describe("fetch over TLS", () => {
  checked("keeps connections apart whose options say different things", async () => {
    await using server = await secured((_, info) => new Response(String(info.remoteAddr)));
    const url = urlOf(server);
    const ask = async (tls: object): Promise<string> => await (await fetch(url, { tls })).text();
    const first = await ask({ ca: cert });
    assert.equal(await ask({ ca: `${cert}` }), first, "what they say counts, not the object");
    assert.equal((await ask({ ca: Buffer.from(cert) })) === first, false);
    assert.equal((await ask({ ca: cert, servername: "localhost" })) === first, false);
    assert.equal((await ask({ rejectUnauthorized: false })) === first, false);
    assert.equal((await failure(fetch(url))).code, "DEPTH_ZERO_SELF_SIGNED_CERT");
    const other = await failure(fetch(url, { tls: { ca: cert, servername: "other" } }));
    assert.equal(other.code, "ERR_TLS_CERT_ALTNAME_INVALID");
    assert.equal(other.phase, "connect");
    assert.equal(await ask({ ca: cert }), first);
  });

  checked("resumes the session of an origin", async () => {
    await using server = await secured((_, info) => {
      return new Response(String((info.conn as TlsConn).sessionReused));
    });
    const client = new Client(ca);
    assert.equal(await (await client.fetch(urlOf(server))).text(), "false");
    client.closeIdle();
    assert.equal(await (await client.fetch(urlOf(server))).text(), "true");
    client.closeIdle();
  });

  checked("uses a connection again, and another one when its server has closed it", async () => {
    const server = await secured(() => new Response("x"));
    const client = new Client(ca);
    const url = urlOf(server);
    for (let i = 0; i < 3; i++) await (await client.fetch(url)).text();
    const [pool] = poolStats().filter(({ live }) => live > 0);
    assert.deepEqual([pool?.hits, pool?.misses], [2, 1]);
    const address = String(server.addr);
    await server.shutdown();
    await using again = await serve(address, () => new Response("y"), { tls: { cert, key } });
    assert.equal(await (await client.fetch(url)).text(), "y");
    client.closeIdle();
    await again.shutdown();
  });

  const ENDS = [
    ["content-length: 3\r\n", "abc", undefined],
    ["transfer-encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n", undefined],
    ["content-length: 4\r\n", "abc", "ERR_TLS_TRUNCATED"],
    ["", "abc", "ERR_TLS_TRUNCATED"],
  ] as const;
  for (const [field, body, code] of ENDS) {
    const how = `a body "${body.slice(0, 3)}" with "${field.trim()}"`;
    checked(`judges a stream that is cut off: ${how}: ${code ?? "fine"}`, async () => {
      const server = createTlsServer({ cert, key }, (socket) => {
        socket.on("error", () => {});
        socket.once("data", () => {
          socket.write(`HTTP/1.1 200 OK\r\nconnection: close\r\n${field}\r\n${body}`, () => {
            // Below TLS: nothing says that the end is the end.
            socket as unknown as { _handle: { _parent: { close(): void } } };
            plainOf(socket).destroy();
          });
        });
      });
      const plains = new Map<number, import("node:net").Socket>();
      server.on("connection", (socket) => plains.set(socket.remotePort as number, socket));
      const plainOf = (socket: import("node:tls").TLSSocket) =>
        plains.get(socket.remotePort as number) as import("node:net").Socket;
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      const { port } = server.address() as { port: number };
      const text = fetch(`https://127.0.0.1:${port}`, ca).then((response) => response.text());
      if (code === undefined) assert.equal(await text, "abc");
      else assert.equal((await failure(text)).code, code);
      server.close();
    });
  }

  checked("says that a server speaks no TLS, or another protocol", async () => {
    await using plain = await serve("127.0.0.1:0", () => new Response("x"));
    const error = await failure(fetch(`https://${plain.addr}`));
    assert.equal(error.code, "ERR_SSL_WRONG_VERSION_NUMBER");
    if (!onNodeTls) assert.match(error.message, /does not speak TLS/);
    await using server = await secured(() => new Response("x"));
    const secureContext = createSecureContext({ ca: cert, ALPNProtocols: ["h2"] });
    const chosen = await failure(fetch(urlOf(server), { tls: { secureContext } }));
    assert.equal(chosen.code, "ERR_ALPN");
    await assert.rejects(serve(plain as never, () => undefined, { tls: {} }));
  });

  checked("says of a server of HTTP/2 alone what it is, and what to do", async () => {
    const refusing = createHttp2Server({ cert, key, allowHTTP1: false }, (_, response) => {
      response.end("x");
    });
    const refused = await failure(fetch(await listening(refusing), ca));
    assert.deepEqual([refused.code, refused.phase], ["ERR_ALPN", "connect"]);
    assert.match(refused.message, /refuses HTTP\/1\.1.*speak HTTP\/2 alone.*node:http2/);
    await closed(refusing);
    // One that looks at no ALPN: it begins to speak, and its first word is no response.
    const speaking = createTlsServer({ cert, key }, (socket) => {
      socket.on("error", () => undefined);
      performServerHandshake(socket).on("error", () => undefined);
    });
    const other = await failure(fetch(await listening(speaking), ca));
    assert.deepEqual([other.code, other.phase], ["ERR_RESPONSE_MALFORMED", "head"]);
    assert.match(other.message, /the server speaks HTTP\/2, .*node:http2/);
    await closed(speaking);
  });

  checked("gives up a handshake in time", async () => {
    const { listen } = await import("../src/index.ts");
    await using listener = await listen("tcp", "127.0.0.1:0");
    const url = `https://${listener.addr}`;
    const late = await failure(fetch(url, { timeouts: { connect: 50 } }));
    assert.deepEqual([late.code, late.timeout, late.phase], ["ERR_DEADLINE", true, "connect"]);
    const controller = new AbortController();
    const fetching = fetch(url, { signal: controller.signal });
    controller.abort(new Error("enough"));
    await assert.rejects(fetching, /enough/);
  });
});

describe("over TLS", () => {
  checked("WebSockets speak, to a server and through a proxy", async () => {
    await using server = await secured(async (request, info) => {
      const socket = await upgradeWebSocket(request, info);
      for await (const message of socket) {
        await socket.send(`${request.headers.get("x-forwarded-proto")} ${message}`);
      }
      await socket.close();
      return undefined;
    });
    using proxy = reverseProxy({ upstreams: [urlOf(server)], ...ca });
    await using front = await secured(proxy);
    for (const [each, proto] of [
      [server, "null"],
      [front, "https"],
    ] as const) {
      const socket = await dialWebSocket(`wss://${each.addr}`, ca);
      await socket.send("hello");
      assert.equal(await socket.receive(), `${proto} hello`);
      await socket.close();
    }
    await assert.rejects(dialWebSocket(`wss://${server.addr}`), {
      code: "DEPTH_ZERO_SELF_SIGNED_CERT",
    });
  });

  checked("a proxy passes bodies on, both sides secured", async () => {
    const bytes = Buffer.alloc(4 << 20, "body");
    await using app = await secured((request) => new Response(request.body));
    using proxy = reverseProxy({ upstreams: [urlOf(app)], ...ca });
    await using front = await secured(proxy);
    const answer = await fetch(urlOf(front), { ...ca, method: "POST", body: bytes });
    assert.ok(bytes.equals(await answer.bytes()));
    assert.equal(answer.headers.get("via"), "1.1 coronet");
  });
});
