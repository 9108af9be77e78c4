// Files as responses: what clients get, what they never get, and that nothing of it stays open.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import {
  appendFile,
  chmod,
  link,
  mkdir,
  open,
  rename,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { it, type TestContext } from "node:test";
import { promisify } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import {
  fileResponse,
  type Handler,
  Request,
  Response,
  type ServeFilesOptions,
  type Server,
  serve,
  serveFiles,
} from "../src/http/index.ts";
import { dial, type NetError, type TCPConn } from "../src/index.ts";
import { socketFolder } from "../testing/conns.ts";
import { RawClient, type RawResponse } from "../testing/http_client.ts";
import { openFds, withLeakCheck } from "../testing/leaks.ts";
import { pattern, turn } from "../testing/support.ts";
import { lacks } from "./child.ts";
import { until } from "./served.ts";

const run = promisify(execFile);
const CONTENT = Buffer.from("0123456789abcdefghijklmnopqrstuvwxyz");
/** Long ago, so that a file is remembered. */
const OLD = new Date("2020-02-02T02:02:02Z");
/** A file's age from which on it is remembered. */
const AGE_MS = 2_100;
const LARGE = Buffer.from(pattern(3_000_017));

function test(
  name: string,
  body: (t: TestContext) => Promise<void>,
  skip: string | undefined = undefined,
): void {
  it(name, { skip: skip ?? false }, (t) =>
    withLeakCheck(t as TestContext, () => body(t as TestContext)),
  );
}

interface Site extends AsyncDisposable {
  server: Server;
  client: RawClient;
  errors: unknown[];
  root: string;
  outside: string;
  url: string;
  get(target: string, ...lines: string[]): Promise<RawResponse>;
}

async function put(path: string, content: string | Uint8Array, at = OLD): Promise<void> {
  await writeFile(path, content);
  await utimes(path, at, at);
}

/** A folder that is served, one beside it that is not, a server and a client. */
async function site(options: ServeFilesOptions = {}, handler?: Handler): Promise<Site> {
  const folder = await socketFolder();
  const [root, outside] = [folder.path("root"), folder.path("outside")];
  await mkdir(join(root, "sub", "deep"), { recursive: true });
  await mkdir(join(root, ".well-known"));
  await mkdir(join(root, ".git"));
  await mkdir(outside);
  await put(join(root, "index.html"), "<p>home");
  await put(join(root, "sub", "index.html"), "<p>sub");
  await put(join(root, "file.txt"), CONTENT);
  await put(join(root, "large.bin"), LARGE);
  await put(join(root, "empty"), "");
  await put(join(root, "a b+ü.txt"), "odd");
  await put(join(root, ".env"), "SECRET");
  await put(join(root, ".git", "config"), "SECRET");
  await put(join(root, ".well-known", "x"), "known");
  await put(join(outside, "secret"), "SECRET");
  await put(folder.path("root-secret"), "SECRET");
  const errors: unknown[] = [];
  const server = await serve("127.0.0.1:0", handler ?? serveFiles(root, options), {
    onError: (error) => void errors.push(error),
  });
  const client = await RawClient.to(server.addr);
  return {
    server,
    client,
    errors,
    root,
    outside,
    url: `http://${server.addr}`,
    async get(target, ...lines) {
      const head = [`GET ${target} HTTP/1.1`, "Host: a", ...lines].join("\r\n");
      await client.send(`${head}\r\n\r\n`);
      return (await client.response()) as RawResponse;
    },
    async [Symbol.asyncDispose]() {
      await client.conn.close();
      await server.close();
      await folder[Symbol.asyncDispose]();
    },
  };
}

test("a file comes with its type, its validators and its length, time and again", async () => {
  await using s = await site({
    cacheControl: (path) => (path === "/file.txt" ? "max-age=9" : undefined),
  });
  for (let i = 0; i < 3; i++) {
    const { status, headers, body } = await s.get("/file.txt");
    assert.equal(status, 200);
    assert.equal(body, String(CONTENT));
    assert.equal(headers.get("content-type"), "text/plain; charset=utf-8");
    assert.equal(headers.get("accept-ranges"), "bytes");
    assert.equal(headers.get("last-modified"), OLD.toUTCString());
    assert.equal(headers.get("cache-control"), "max-age=9");
    // Weak at first: as far as the system's own record goes, its last change was just now.
    assert.match(headers.get("etag") ?? "", /^(W\/)?"[\w-]+"$/);
    const large = await s.get("/large.bin");
    assert.ok(Buffer.from(large.body, "latin1").equals(LARGE));
    assert.equal(large.headers.get("content-type"), "application/octet-stream");
    assert.equal(large.headers.has("cache-control"), false);
    assert.equal((await s.get("/empty")).headers.get("content-length"), "0");
    assert.equal((await s.get("/a%20b+%C3%BC.txt?query#")).status, 400, "a fragment");
    await s.client.conn.close();
    Object.assign(s.client, await RawClient.to(s.server.addr));
    assert.equal((await s.get("/a%20b+%C3%BC.txt?query")).body, "odd");
  }
});

test("HEAD says what GET would, and other methods are not allowed", async () => {
  await using s = await site();
  for (const target of ["/file.txt", "/large.bin", "/", "/none"]) {
    const { headers } = await s.get(target);
    await s.client.send(`HEAD ${target} HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\n\r\n`);
    const head = (await s.client.response("HEAD")) as RawResponse;
    headers.delete("date");
    head.headers.delete("date");
    assert.deepEqual(head.headers, headers);
  }
  await s.client.send("POST /file.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
  const refused = await s.client.response();
  assert.equal(refused?.status, 405);
  assert.equal(refused.headers.get("allow"), "GET, HEAD");
});

test("a folder is its index; without the slash behind it, a redirect", async () => {
  await using s = await site();
  assert.equal((await s.get("/")).body, "<p>home");
  assert.equal((await s.get("/sub/")).body, "<p>sub");
  const moved = await s.get("/sub?a=b");
  assert.equal(moved.status, 301);
  assert.equal(moved.headers.get("location"), "/sub/?a=b");
  // Two slashes would name another host.
  assert.equal((await s.get("//sub")).headers.get("location"), "/sub/");
  assert.equal((await s.get("/sub/deep/")).status, 404, "no index");
  assert.equal((await s.get("/file.txt/")).status, 404);
  await using bare = await site({ index: false });
  assert.equal((await bare.get("/")).status, 404);
  assert.equal((await bare.get("/sub/index.html")).status, 200);
});

test("a prefix is taken off, and what has another one is not there", async () => {
  await using s = await site({ prefix: "/static/" });
  assert.equal((await s.get("/static/file.txt")).body, String(CONTENT));
  assert.equal((await s.get("/static/")).body, "<p>home");
  assert.equal((await s.get("/static")).headers.get("location"), "/static/");
  assert.equal((await s.get("/static/sub")).headers.get("location"), "/static/sub/");
  for (const target of ["/file.txt", "/staticfile.txt", "/", "/stat"]) {
    assert.equal((await s.get(target)).status, 404, target);
  }
});

/** Targets that lead, or could be thought to lead, out of the folder or to what is hidden in it. */
const ATTACKS = [
  "/../outside/secret",
  "/../../../../../../etc/passwd",
  "/sub/../../outside/secret",
  "/sub/../../root-secret",
  "/..%2foutside/secret",
  "/%2e%2e/outside/secret",
  "/%2e%2e%2foutside%2fsecret",
  "/.%2e/outside/secret",
  "/%252e%252e%252foutside%252fsecret",
  "/%2e%2e%5coutside%5csecret",
  "/..\\outside\\secret",
  "/..%5coutside%5csecret",
  "/%c0%ae%c0%ae/outside/secret",
  "/%c0%af..%c0%afoutside/secret",
  "/%uff0e%uff0e/outside/secret",
  "/..;/outside/secret",
  "/sub/..;/..;/outside/secret",
  "/.../outside/secret",
  "/....//outside/secret",
  "//etc/passwd",
  "///etc/passwd",
  "/%2fetc%2fpasswd",
  "/%2f%2fetc/passwd",
  "/file.txt%00.html",
  "/%00",
  "/sub%00/../file.txt%00",
  "/.env",
  "/%2eenv",
  "/.%65nv",
  "/.git/config",
  "/.git%2fconfig",
  "/sub/../.git/config",
  "/./.env",
  "/sub/.well-known/../../.env",
  "/.well-known/../.env",
  "/.well-known%2f..%2f.env",
  "/sub%2f..%2f.env",
  "/sub%5c..%5c.env",
  "/link-out",
  "/folder-out/secret",
  "/folder-out",
  "/folder-out/",
  "/proc-out/self/environ",
  "/relative-out",
  "/up-and-down",
  "/fifo",
  "/%",
  "/%zz",
  "/%e0%80",
  "/C:%5cWindows%5cwin.ini",
  "/C:/Windows/win.ini",
  "/file:%2f%2f%2fetc%2fpasswd",
  `/${"a".repeat(300)}`,
  `/${"sub/".repeat(1500)}`,
  `/${"../".repeat(500)}outside/secret`,
  "http://a/../outside/secret",
  "http://a/..%2foutside/secret",
];

test("no path leads out of the folder, or to what is hidden", async () => {
  await using s = await site();
  await symlink("../outside/secret", join(s.root, "link-out"));
  await symlink(s.outside, join(s.root, "folder-out"));
  await symlink("/proc", join(s.root, "proc-out"));
  await symlink("../root-secret", join(s.root, "relative-out"));
  await symlink("sub/../../outside/secret", join(s.root, "up-and-down"));
  await run("mkfifo", [join(s.root, "fifo")]);
  for (const target of ATTACKS) {
    await using client = await RawClient.to(s.server.addr);
    await client.send(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
    const { status, body } = (await client.response()) as RawResponse;
    assert.ok([301, 400, 403, 404].includes(status), `${target}: ${status}`);
    assert.ok(!/SECRET|root:/.test(body), target);
  }
  assert.equal((await s.get("/.well-known/x")).body, "known");
  assert.equal(s.errors.length, 0);
  // Where it is asked for, links lead out and hidden files are there.
  await using open = await site({ symlinks: true, dotfiles: true });
  await symlink(open.outside, join(open.root, "folder-out"));
  assert.equal((await open.get("/folder-out/secret")).body, "SECRET");
  assert.equal((await open.get("/.env")).body, "SECRET");
  assert.equal((await open.get("/..%2foutside/secret")).status, 404);
});

test("links within the folder are followed, also to a folder that is one itself", async () => {
  await using s = await site();
  await symlink("../file.txt", join(s.root, "sub", "link"));
  assert.equal((await s.get("/sub/link")).body, String(CONTENT));
  const current = join(s.outside, "current");
  await symlink(s.root, current);
  const files = serveFiles(current);
  const of = (path: string): Request => new Request(`http://a${path}`);
  assert.equal(await (await files(of("/file.txt"))).text(), String(CONTENT));
  // Another release takes its place.
  const next = join(s.outside, "next");
  await mkdir(next);
  await put(join(next, "file.txt"), "next");
  await rm(current);
  await symlink(next, current);
  assert.equal(await (await files(of("/file.txt"))).text(), "next");
  assert.equal((await files(of("/large.bin"))).status, 404);
});

test(
  "what may not be read is 403",
  async () => {
    await using s = await site();
    await chmod(join(s.root, "file.txt"), 0);
    assert.equal((await s.get("/file.txt")).status, 403);
  },
  process.getuid?.() === 0 ? "root may read everything" : undefined,
);

interface RangeCase {
  range: string;
  status: number;
  /** Content-Range, and the part of the content; of several ranges, each. */
  parts?: [string, string][];
  lines?: string[];
}

const RANGES: RangeCase[] = [
  { range: "bytes=0-4", status: 206, parts: [["bytes 0-4/36", "01234"]] },
  { range: "bytes=30-", status: 206, parts: [["bytes 30-35/36", "uvwxyz"]] },
  { range: "bytes=-3", status: 206, parts: [["bytes 33-35/36", "xyz"]] },
  { range: "bytes=0-99", status: 206, parts: [["bytes 0-35/36", String(CONTENT)]] },
  {
    range: "bytes=0-1,10-11,-1",
    status: 206,
    parts: [
      ["bytes 0-1/36", "01"],
      ["bytes 10-11/36", "ab"],
      ["bytes 35-35/36", "z"],
    ],
  },
  { range: "bytes=99-", status: 416 },
  { range: "bytes=5-1", status: 416 },
  { range: "bytes=0-,0-", status: 200 },
  { range: "words=1-2", status: 200 },
  { range: "bytes=0-4", status: 200, lines: ['If-Range: "other"'] },
  { range: "bytes=0-4", status: 200, lines: ["If-Range: Sat, 01 Feb 2020 00:00:00 GMT"] },
  { range: "bytes=0-4", status: 304, lines: ["If-None-Match: *"] },
  { range: "bytes=0-4", status: 412, lines: ['If-Match: "other"'] },
];

/** The parts of a multipart/byteranges. */
function partsOf({ headers, body }: RawResponse): [string, string][] {
  const type = headers.get("content-type") ?? "";
  const [, boundary] = /^multipart\/byteranges; boundary=(\w+)$/.exec(type) ?? [];
  if (boundary === undefined) return [[headers.get("content-range") ?? "", body]];
  assert.equal(headers.has("content-range"), false);
  const [before, ...parts] = `\r\n${body}`.split(`\r\n--${boundary}`);
  assert.equal(before, "");
  assert.equal(parts.pop(), "--\r\n");
  return parts.map((part) => {
    const [head, content] = part.split("\r\n\r\n") as [string, string];
    assert.match(head, /content-type: (text\/plain; charset=utf-8|application\/octet-stream)/);
    return [/content-range: (.*)/.exec(head)?.[1] ?? "", content];
  });
}

test("ranges are what was asked for, from memory and from the file", async () => {
  await using s = await site();
  // One changed long enough ago that it is remembered, and one so lately that it is not.
  await new Promise((resolve) => setTimeout(resolve, AGE_MS));
  const young = join(s.root, "young.txt");
  await put(young, CONTENT);
  assert.match((await s.get("/file.txt")).headers.get("etag") ?? "", /^"/);
  for (const target of ["/file.txt", "/file.txt", "/young.txt"]) {
    for (const { range, status, parts, lines = [] } of RANGES) {
      const response = await s.get(target, `Range: ${range}`, ...lines);
      assert.equal(response.status, status, `${range} ${lines}`);
      if (status === 206) assert.deepEqual(partsOf(response), parts);
      if (status === 200) assert.equal(response.body, String(CONTENT));
      if (status === 416) assert.equal(response.headers.get("content-range"), "bytes */36");
      assert.equal(response.headers.has("content-range"), parts?.length === 1 || status === 416);
    }
  }
  const spans = [
    [5, 70_000],
    [1_000_000, 2_000_000],
    [3_000_000, 3_000_016],
  ] as [number, number][];
  const range = spans.map(([from, to]) => `${from}-${to}`).join();
  const several = await s.get("/large.bin", `Range: bytes=${range}`);
  const expected = spans.map(([from, to]) => [
    `bytes ${from}-${to}/${LARGE.length}`,
    LARGE.toString("latin1", from, to + 1),
  ]);
  assert.deepEqual(partsOf(several), expected);
});

test("conditions: 304 with the validators and no body, and the connection goes on", async () => {
  await using s = await site({ precompressed: true, cacheControl: "no-cache" });
  const { headers } = await s.get("/large.bin");
  const etag = headers.get("etag") as string;
  for (const line of [`If-None-Match: ${etag}`, `If-Modified-Since: ${OLD.toUTCString()}`]) {
    const { status, headers, body } = await s.get("/large.bin", line);
    assert.equal(status, 304);
    assert.equal(body, "");
    assert.equal(headers.get("etag"), etag);
    assert.equal(headers.get("cache-control"), "no-cache");
    assert.equal(headers.get("vary"), "accept-encoding");
    assert.equal(headers.has("content-type"), false);
  }
  assert.equal((await s.get("/large.bin", 'If-Match: "x"')).status, 412);
  assert.equal((await s.get("/file.txt")).body, String(CONTENT));
});

test("pipelined requests for files are answered in their order", async () => {
  await using s = await site();
  const targets = Array.from({ length: 40 }, (_, i) => (i % 3 === 0 ? "/large.bin" : "/file.txt"));
  await s.client.send(
    targets.map((each) => `GET ${each} HTTP/1.1\r\nHost: a\r\nRange: bytes=1-\r\n\r\n`).join(""),
  );
  for (const target of targets) {
    const { status, body } = (await s.client.response()) as RawResponse;
    assert.equal(status, 206);
    assert.equal(body.length, target === "/file.txt" ? CONTENT.length - 1 : LARGE.length - 1);
  }
});

test("forms that stand beside a file are sent to who takes them", async () => {
  await using s = await site({ precompressed: true });
  await put(join(s.root, "page.html"), "<p>plain");
  await put(join(s.root, "page.html.gz"), "gzip form");
  await put(join(s.root, "page.html.br"), "brotli form");
  await put(join(s.root, "only.css"), "a{}");
  await put(join(s.root, "only.css.gz"), "gzipped css");
  const cases: [string, string, string | undefined][] = [
    ["gzip, deflate, br, zstd", "brotli form", "br"],
    ["gzip", "gzip form", "gzip"],
    ["GZIP;q=0.5, br;q=0", "gzip form", "gzip"],
    ["gzip;q=0", "<p>plain", undefined],
    ["identity", "<p>plain", undefined],
    ["*", "brotli form", "br"],
    ["*, br;q=0", "gzip form", "gzip"],
    ["", "<p>plain", undefined],
  ];
  for (const [accepts, body, coding] of cases) {
    const got = await s.get("/page.html", `Accept-Encoding: ${accepts}`);
    assert.equal(got.body, body, accepts);
    assert.equal(got.headers.get("content-encoding"), coding);
    assert.equal(got.headers.get("content-type"), "text/html; charset=utf-8");
    assert.equal(got.headers.get("vary"), "accept-encoding");
  }
  const css = await s.get("/only.css", "Accept-Encoding: br, gzip");
  assert.equal(css.body, "gzipped css");
  const etags = new Set<string | undefined>();
  for (const accepts of ["br", "gzip", "identity"]) {
    etags.add((await s.get("/page.html", `Accept-Encoding: ${accepts}`)).headers.get("etag"));
  }
  assert.equal(etags.size, 3);
});

test("a change is seen at once: in place, by another file, and when it is gone", async () => {
  await using s = await site();
  const path = join(s.root, "file.txt");
  // Remembered only once its last change is long ago.
  await new Promise((resolve) => setTimeout(resolve, AGE_MS));
  const first = await s.get("/file.txt");
  assert.match(first.headers.get("etag") ?? "", /^"/);
  assert.equal((await s.get("/file.txt")).body, String(CONTENT));
  const file = await open(path, "r+");
  await file.write("X", 0);
  await file.close();
  const changed = await s.get("/file.txt");
  assert.equal(changed.body, `X${String(CONTENT).slice(1)}`);
  assert.notEqual(changed.headers.get("etag"), first.headers.get("etag"));
  await put(`${path}.new`, "another");
  await rename(`${path}.new`, path);
  assert.equal((await s.get("/file.txt")).body, "another");
  await rm(path);
  assert.equal((await s.get("/file.txt")).status, 404);
  await symlink("../outside/secret", path);
  assert.equal((await s.get("/file.txt")).status, 403);
  await rm(path);
  await mkdir(path);
  assert.equal((await s.get("/file.txt")).status, 301);
});

test(
  "curl and wget resume, ask for ranges and for changes",
  async () => {
    await using s = await site();
    const curl = async (...args: string[]): Promise<string> => {
      const { stdout } = await run("curl", ["-s", ...args], { encoding: "latin1" });
      return stdout;
    };
    assert.equal(await curl("-r", "2-5", `${s.url}/file.txt`), "2345");
    assert.equal(await curl("-r", "-2", `${s.url}/file.txt`), "yz");
    const multi = await curl("-r", "0-1,4-5", `${s.url}/file.txt`);
    assert.match(multi, /content-range: bytes 0-1\/36\r\n\r\n01\r\n--/);
    const status = ["-o", "/dev/null", "-w", "%{http_code}"];
    const asked = (date: string): Promise<string> =>
      curl(...status, "-z", date, `${s.url}/file.txt`);
    assert.equal(await asked("03 Feb 2020"), "304");
    assert.equal(await asked("01 Feb 2020"), "200");
    assert.equal(await asked("-01 Feb 2020"), "412");
    const half = join(s.outside, "half");
    await writeFile(half, LARGE.subarray(0, 1_234_567));
    await run("curl", ["-s", "-C", "-", "-o", half, `${s.url}/large.bin`]);
    assert.ok(readFileSync(half).equals(LARGE));
    if (lacks("wget", "--version") !== undefined) return;
    await truncate(half, 7);
    await run("wget", ["-q", "-c", "-O", half, `${s.url}/large.bin`]);
    assert.ok(readFileSync(half).equals(LARGE));
  },
  lacks("curl", "--version"),
);

test("a file of 1 GB goes through with flat memory", async (t) => {
  await using s = await site();
  const path = join(s.root, "sparse");
  await writeFile(path, "");
  await truncate(path, 2 ** 30);
  const conn = await dial("tcp", String(s.server.addr));
  await conn.write("GET /sparse HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  const buffer = new Uint8Array(1 << 20);
  let most = 0;
  const before = process.memoryUsage();
  let total = 0;
  for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) {
    total += n;
    const { heapUsed, external } = process.memoryUsage();
    most = Math.max(most, heapUsed + external - before.heapUsed - before.external);
  }
  await conn.close();
  t.diagnostic(`${(most / 2 ** 20).toFixed(1)} MiB more at most`);
  assert.ok(total > 2 ** 30 && total < 2 ** 30 + 1000);
  assert.ok(most < 64 << 20);
});

/** How many files below a folder this process has open. */
function openBelow(root: string): number {
  return [...openFds().values()].filter((target) => target.startsWith(root)).length;
}

async function ask(s: Site, target: string): Promise<TCPConn> {
  const conn = (await dial("tcp", String(s.server.addr))) as TCPConn;
  await conn.write(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
  return conn;
}

/** A file that no connection takes as a whole while its client does not read. */
async function huge(s: Site): Promise<string> {
  const path = join(s.root, "huge");
  await writeFile(path, "x");
  await truncate(path, 256 << 20);
  return path;
}

test("a client that resets in the middle leaves no file open, nor one that never reads", async () => {
  await using s = await site();
  await huge(s);
  const conns = await Promise.all(Array.from({ length: 20 }, () => ask(s, "/huge")));
  await until("all are being sent", () => openBelow(s.root) === 20);
  for (const conn of conns.splice(0, 10)) await conn.setLinger(0).close();
  await until("ten files are closed", () => openBelow(s.root) === 10);
  await s.server.close();
  assert.equal(openBelow(s.root), 0);
  for (const conn of conns) await conn.close();
  assert.equal(s.errors.length, 0);
});

test("a slow reader gets every byte, and holds up nobody", async () => {
  await using s = await site();
  const slow = await ask(s, "/large.bin");
  const parts: Uint8Array[] = [];
  const buffer = new Uint8Array(50_000);
  for (let length = 0; length < LARGE.length; ) {
    const n = await slow.read(buffer);
    assert.ok(n !== null);
    parts.push(buffer.slice(0, n));
    length += n;
    if (parts.length % 7 === 0) assert.equal((await s.get("/file.txt")).status, 200);
  }
  const all = Buffer.concat(parts);
  const body = all.subarray(all.indexOf("\r\n\r\n") + 4);
  for (let length = body.length; length < LARGE.length; ) {
    length += (await slow.read(buffer)) as number;
  }
  assert.ok(body.equals(LARGE.subarray(0, body.length)));
  await slow.close();
});

test("a file that is cut off meanwhile breaks the response off; one that is replaced does not", async () => {
  await using s = await site();
  const path = await huge(s);
  const cut = await ask(s, "/huge");
  const kept = await ask(s, "/huge");
  await until("both are being sent", () => openBelow(s.root) === 2);
  const copy = join(s.outside, "copy");
  await link(path, copy);
  await rm(path);
  await writeFile(path, "another");
  for (let i = 0; i < 20; i++) await turn();
  await truncate(copy, 1 << 20);
  const buffer = new Uint8Array(1 << 20);
  for (const conn of [cut, kept]) {
    let failed: NetError | undefined;
    try {
      while ((await conn.read(buffer)) !== null);
    } catch (error) {
      failed = error as NetError;
    }
    assert.equal(failed?.code, "ECONNRESET");
    await conn.close();
  }
  assert.equal(s.errors.length, 2);
  assert.match(String(s.errors[0]), /the file ended after \d+ of 268435456 bytes/);

  const other = await huge(s);
  const conn = await ask(s, "/huge");
  await until("it is being sent", () => openBelow(s.root) === 1);
  await rm(other);
  await appendFile(other, "another");
  let total = 0;
  while (total < 256 << 20) total += (await conn.read(buffer)) as number;
  await conn.close();
});

test("200 clients at a time get whole files", async () => {
  await using s = await site();
  const one = async (i: number): Promise<void> => {
    await using client = await RawClient.to(s.server.addr);
    const target = i % 2 === 0 ? "/file.txt" : "/large.bin";
    for (let n = 0; n < 2; n++) {
      await client.send(`GET ${target} HTTP/1.1\r\nHost: a\r\nRange: bytes=-200000\r\n\r\n`);
      const response = (await client.response()) as RawResponse;
      const content = i % 2 === 0 ? CONTENT : LARGE.subarray(-200_000);
      assert.ok(Buffer.from(response.body, "latin1").equals(content));
    }
  };
  await Promise.all(Array.from({ length: 200 }, (_, i) => one(i)));
  assert.equal(openBelow(s.root), 0);
});

test("over a unix socket files are sent as well", async () => {
  await using s = await site();
  await using folder = await socketFolder();
  await using server = await serve(folder.path("http"), serveFiles(s.root));
  await using conn = await dial("unix", String(server.addr));
  await conn.write("GET /large.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  const parts: Uint8Array[] = [];
  for await (const chunk of conn) parts.push(chunk);
  const all = Buffer.concat(parts);
  assert.ok(all.subarray(all.indexOf("\r\n\r\n") + 4).equals(LARGE));
});

test("a file's response can be taken as a body, in part, twice, or not at all", async () => {
  await using s = await site();
  const request = new Request("http://a/");
  const at = (name: string): Promise<Response> => fileResponse(join(s.root, name), request);
  assert.equal(await (await at("file.txt")).text(), String(CONTENT));
  assert.ok(Buffer.from(await (await at("large.bin")).bytes()).equals(LARGE));
  const twice = await at("large.bin");
  const copy = twice.clone();
  assert.ok(Buffer.from(await twice.bytes()).equals(LARGE));
  assert.ok(Buffer.from(await copy.bytes()).equals(LARGE));
  const streamed = await at("large.bin");
  for await (const chunk of streamed.body ?? []) {
    assert.ok(chunk.length > 0);
    break;
  }
  const canceled = await at("large.bin");
  await canceled.body?.cancel();
  assert.equal(openBelow(s.root), 0);
  const multi = new Request("http://a/", { headers: { range: "bytes=0-1,-1" } });
  const parts = await fileResponse(join(s.root, "file.txt"), multi);
  assert.match(await parts.text(), /\r\n\r\n01\r\n--.*\r\n\r\nz\r\n--\w+--\r\n$/s);
  assert.equal((await at("none")).status, 404);
  assert.equal((await at("sub")).status, 404);
  assert.equal((await fileResponse("x", new Request("http://a", { method: "PUT" }))).status, 405);
  // The standard's own class, as frameworks have it.
  const files = serveFiles(s.root);
  const response = await files(new globalThis.Request("http://a/large.bin"));
  assert.equal((await response.arrayBuffer()).byteLength, LARGE.length);
});

test("a response that is thrown away is closed by the garbage collector", async () => {
  await using s = await site();
  await (async () => {
    await fileResponse(join(s.root, "large.bin"), new Request("http://a/"));
  })();
  assert.equal(openBelow(s.root), 1);
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  await until("the file is closed", () => {
    collect();
    return openBelow(s.root) === 0;
  });
});

test("a handler may wrap what files answer", async () => {
  let files: ((request: Request) => Response | Promise<Response>) | undefined;
  await using s = await site({}, async (request) => {
    const response = (await files?.(request)) as Response;
    if (response.status === 404) return new Response("elsewhere");
    response.headers.set("x-content-type-options", "nosniff");
    return response;
  });
  files = serveFiles(s.root);
  assert.equal((await s.get("/none")).body, "elsewhere");
  const { headers, body } = await s.get("/large.bin");
  assert.equal(headers.get("x-content-type-options"), "nosniff");
  assert.equal(body.length, LARGE.length);
  assert.equal((await s.get("/large.bin")).headers.get("accept-ranges"), "bytes");
});

test("options that make no sense are refused", async () => {
  assert.throws(() => serveFiles("/", { prefix: "static" }), TypeError);
  assert.throws(() => serveFiles("/", { index: "../index.html" }), TypeError);
});
