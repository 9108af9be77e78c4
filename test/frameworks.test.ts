/**
 * frameworks.test.ts: programs of node:http, Express, Koa and Fastify over Coronet do what they do over
 * node:http, byte for byte: status lines, headers, bodies, and whether the connection goes on.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it, type TestContext } from "node:test";
import { serveNode } from "../src/http/index.ts";
import { type Addr, dial, TCPAddr } from "../src/index.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { APPS, type MakeServer } from "./framework_apps.ts";

/** A request, as bytes; what is left open has to be closed to get an answer. */
interface Raw {
  name: string;
  bytes: string;
  /** The client ends its side behind it: it is a message that stops half way. */
  cut?: true;
  /** It ends the connection: Node refuses what stands behind it, and does not answer any more. */
  last?: true;
  /** Only of the program without a framework. */
  plain?: true;
  /** Where its answer is cut into chunks depends on when what arrived, and on the version of Node. */
  loose?: true;
  /** What an app with these routes must answer first; others differ among each other. */
  status?: number;
}

function get(path: string, ...lines: string[]): string {
  return ["GET", path].join(" ").concat(" HTTP/1.1\r\nHost: a\r\n", ...lines.map(eol), "\r\n");
}

function post(path: string, type: string, body: string, ...lines: string[]): string {
  const length = `Content-Length: ${Buffer.byteLength(body)}`;
  return get(path, `Content-Type: ${type}`, length, ...lines).replace("GET", "POST") + body;
}

function eol(line: string): string {
  return `${line}\r\n`;
}

const MULTIPART = [
  "--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n",
  '--x\r\nContent-Disposition: form-data; name=f; filename="n.txt"\r\n\r\nfile\r\n--x--\r\n',
].join("");
const CHUNKED = "Transfer-Encoding: chunked";
const OCTETS = "application/octet-stream";

const REQUESTS: readonly Raw[] = [
  { name: "text", bytes: get("/"), status: 200 },
  { name: "a parameter", bytes: get("/user/j%C3%B6rg?x=1"), status: 200 },
  { name: "json", bytes: get("/json"), status: 200 },
  { name: "HEAD", bytes: get("/").replace("GET", "HEAD"), status: 200 },
  { name: "HEAD of a stream", bytes: get("/stream").replace("GET", "HEAD") },
  { name: "OPTIONS", bytes: get("/").replace("GET", "OPTIONS") },
  { name: "what is not there", bytes: get("/nowhere") },
  { name: "another method", bytes: get("/").replace("GET", "DELETE") },
  { name: "json that is sent", bytes: post("/json", "application/json", '{"a":"é"}'), status: 200 },
  { name: "json that is none", bytes: post("/json", "application/json", "{") },
  {
    name: "a form",
    bytes: post("/form", "application/x-www-form-urlencoded", "a=1&b=%20"),
    status: 200,
  },
  {
    name: "multipart",
    bytes: post("/count", "multipart/form-data; boundary=x", MULTIPART),
    status: 200,
  },
  { name: "an echo", bytes: post("/echo", OCTETS, "back and forth"), status: 200 },
  { name: "a large echo", bytes: post("/echo", OCTETS, "x".repeat(300_000)), loose: true },
  {
    name: "a chunked echo",
    bytes: `${get("/echo", `Content-Type: ${OCTETS}`, CHUNKED).replace("GET", "POST")}3\r\nabc\r\n2;e=1\r\nde\r\n0\r\nT: 1\r\n\r\n`,
    loose: true,
  },
  { name: "an error", bytes: get("/error") },
  { name: "a stream", bytes: get("/stream"), status: 200 },
  { name: "a stream to HTTP/1.0", bytes: get("/stream").replace("1.1", "1.0"), last: true },
  { name: "a file", bytes: get("/file"), status: 200 },
  { name: "a part of a file", bytes: get("/file", "Range: bytes=10-19") },
  { name: "cookies", bytes: get("/cookie") },
  { name: "a redirect", bytes: get("/redirect") },
  { name: "three at a time", bytes: get("/") + get("/stream") + get("/json"), status: 200 },
  { name: "one that closes", bytes: get("/", "Connection: close"), last: true },
  { name: "HTTP/1.0", bytes: "GET / HTTP/1.0\r\n\r\n", last: true },
  { name: "HTTP/1.0 that stays", bytes: "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" },
  { name: "100-continue", bytes: post("/echo", OCTETS, "x", "Expect: 100-continue") },
  { name: "another expectation", bytes: get("/", "Expect: nothing") },
  { name: "nonsense", bytes: "nonsense\r\n\r\n", status: 400 },
  { name: "no host", bytes: "GET / HTTP/1.1\r\n\r\n", status: 400 },
  { name: "too long a head", bytes: get("/", `X: ${"x".repeat(20_000)}`), status: 431 },
  { name: "a bad length", bytes: get("/", "Content-Length: x"), status: 400 },
  { name: "two framings", bytes: get("/", "Content-Length: 3", CHUNKED), status: 400 },
  { name: "a bad chunk", bytes: `${get("/count", CHUNKED).replace("GET", "POST")}zz\r\n` },
  {
    name: "an upgrade that nobody takes",
    bytes: get("/", "Connection: Upgrade", "Upgrade: x"),
    plain: true,
  },
  { name: "a CONNECT that nobody takes", bytes: "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n" },
  { name: "HTTP/2's preface", bytes: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" },
  { name: "a target that is absolute", bytes: get("http://b/json") },
  { name: "half a head", bytes: "GET / HT", cut: true },
  { name: "half a body", bytes: post("/nowhere", OCTETS, "xxxx").slice(0, -2), cut: true },
  { name: "a request, then the end", bytes: get("/"), cut: true },
  ...[
    "/204",
    "/304",
    "/close",
    "/length",
    "/phrase",
    "/hints",
    "/trailers",
    "/large",
    "/destroy",
    "/half",
  ].map((path): Raw => ({ name: path, bytes: get(path), plain: true })),
  {
    name: "all of a request",
    bytes: get("/x", "A: 1", "A: 2", "Cookie: a", "Cookie: b"),
    plain: true,
  },
  { name: "a body nobody reads", bytes: post("/ignore", OCTETS, "x".repeat(100_000)), plain: true },
  {
    name: "trailers",
    bytes: `${get("/x", CHUNKED, "Trailer: t").replace("GET", "POST")}1\r\nx\r\n0\r\nT: 1\r\n\r\n`,
    plain: true,
  },
];

/** What every connection is asked last, to see whether it goes on. */
const LAST = get("/user/last", "Connection: close");

/** Everything that the server says until it ends the connection, and how. */
async function conversation(addr: Addr, { bytes, cut, last, loose }: Raw): Promise<string> {
  await using conn = await dial("tcp", String(addr));
  const chunks: Uint8Array[] = [];
  const all = (async () => {
    try {
      for await (const chunk of conn) chunks.push(chunk);
      return "end";
    } catch (error) {
      return (error as { code: string }).code;
    }
  })();
  try {
    await conn.write(bytes);
    if (cut === true) await conn.closeWrite();
    else if (last !== true) await conn.write(LAST);
  } catch {
    // It was closed already: what was said before counts.
  }
  const end = await all;
  const text = Buffer.concat(chunks)
    .toString("latin1")
    .replace(/^date: .*$/gim, "date");
  if (loose === true) return text.replace(/\r\n[\da-f]+(?=\r\n)/g, "").replace(/(x|c)\r\n/g, "$1");
  // Whether unread bytes were there when it was closed is a matter of moments.
  return `${text}\n${end === "ECONNRESET" ? "end" : end}`;
}

/** Two of the same program: one over node:http, one over Coronet. */
async function both(
  make: MakeServer,
  body: (node: Addr, coronet: Addr) => Promise<void>,
): Promise<void> {
  const [node, other] = [await make(), await make()];
  // Some requests leave a connection that nobody answers on any more.
  node.keepAliveTimeout = other.keepAliveTimeout = 100;
  node.listen(0, "127.0.0.1");
  await once(node, "listening");
  try {
    await using server = await serveNode("127.0.0.1:0", other);
    const { port } = node.address() as AddressInfo;
    await body(new TCPAddr("127.0.0.1", port), server.addr);
  } finally {
    await closed(node);
  }
}

async function closed(node: Server): Promise<void> {
  const done = once(node, "close");
  node.close();
  node.closeAllConnections();
  await done;
}

for (const [name, make] of Object.entries(APPS)) {
  describe(`${name} over Coronet does as over node:http`, () => {
    const table = REQUESTS.filter(({ plain }) => plain !== true || name === "node:http");
    for (const raw of table) {
      it(raw.name, (t) =>
        withLeakCheck(t as TestContext, () =>
          both(make, async (node, coronet) => {
            const wanted = await conversation(node, raw);
            const found = await conversation(coronet, raw);
            assert.equal(found, wanted);
            const { status } = raw;
            if (status !== undefined) assert.match(wanted, new RegExp(`^HTTP/1.1 ${status} `));
          }),
        ),
      );
    }
  });
}
