// Programs that others have written talk HTTP with the server: curl, wrk, h2load, a browser, and the clients
// of Python, Go, undici and node:http.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { Agent, request as nodeRequest } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";
import { promisify } from "node:util";
import { type Handler, Response, type Server, serve } from "../src/http/index.ts";
import { foreignEnv } from "./foreign_programs.ts";

const CHROMIUM = "/usr/bin/chromium";

const PAGE = `<!doctype html><link rel="stylesheet" href="/style.css"><img src="/dot.svg"><script src="/app.js"></script>`;
const SCRIPT = `
  window.result = (async () => {
    const streamed = await (await fetch("/stream")).text();
    const form = new FormData();
    form.append("file", new Blob(["x".repeat(100000)]), "a.txt");
    form.append("word", "grüße");
    const uploaded = await (await fetch("/form", { method: "POST", body: form })).json();
    const many = await Promise.all(Array.from({ length: 20 }, (_, i) => fetch("/echo?" + i).then(async (r) => ((await r.text()), r.status))));
    return { streamed, uploaded, many, style: getComputedStyle(document.body).color };
  })();`;

async function* words() {
  for (const word of ["one ", "two ", "three"]) {
    yield word;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function typed(body: string, type: string): Response {
  return new Response(body, { headers: { "content-type": type } });
}

const handle: Handler = async (request, info) => {
  const { pathname } = new URL(request.url);
  switch (pathname) {
    case "/page":
      return typed(PAGE, "text/html");
    case "/style.css":
      return typed("body { color: rgb(1, 2, 3) }", "text/css");
    case "/app.js":
      return typed(SCRIPT, "text/javascript;charset=utf-8");
    case "/dot.svg":
      return typed('<svg xmlns="http://www.w3.org/2000/svg"/>', "image/svg+xml");
    case "/stream":
      return new Response(words());
    case "/port":
      return new Response(String(info.remoteAddr));
    case "/form": {
      const form = await request.formData();
      return Response.json({ size: (form.get("file") as File).size, word: form.get("word") });
    }
    default:
      return new Response(request.body);
  }
};

describe("a server of HTTP", () => {
  let server: Server;
  let url = "";
  let folder = "";

  before(async () => {
    server = await serve("127.0.0.1:0", handle);
    url = `http://${server.addr}`;
    folder = await mkdtemp(join(tmpdir(), "coronet-http-"));
  });

  after(async () => {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });

  /** A program's output; undefined when it is not here. */
  async function run(program: string, ...args: string[]): Promise<string | undefined> {
    const options = { env: foreignEnv, timeout: 60_000, cwd: folder, maxBuffer: 64 << 20 };
    try {
      return (await promisify(execFile)(program, args, options)).stdout;
    } catch (error) {
      if ((error as { code?: unknown }).code === "ENOENT") return undefined;
      throw error;
    }
  }

  it("serves curl, whatever it is told to do", async (t) => {
    const curl = (...args: string[]) => run("curl", "-sS", "--max-time", "20", ...args);
    if ((await curl("--version")) === undefined) return t.skip("curl is not installed");
    const large = "0123456789".repeat(300_000);
    await writeFile(join(folder, "large"), large);
    assert.equal(await curl("--http1.0", "-d", "a", `${url}/`), "a");
    assert.equal(await curl("--http1.1", "-d", "a", `${url}/`), "a");
    const chunked = ["-H", "Transfer-Encoding: chunked", "--data-binary", "@large"];
    assert.equal(await curl(...chunked, `${url}/`), large);
    const expecting = ["-H", "Expect: 100-continue", "--data-binary", "@large"];
    assert.equal(await curl(...expecting, "--expect100-timeout", "20", `${url}/`), large);
    assert.equal(await curl("-T", "large", `${url}/`), large);
    assert.match(
      (await curl("-I", `${url}/page`)) as string,
      /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\n$/,
    );
    const raw = await curl("--raw", `${url}/stream`);
    assert.equal(raw, "4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n\r\n");
    const [first, second] = (
      (await curl("-w", "\\n", `${url}/port`, `${url}/port`)) as string
    ).split("\n");
    assert.equal(first, second, "the second request came on another connection");
  });

  it("serves wrk without an error", async (t) => {
    const told = await run("wrk", "-t1", "-c32", "-d1s", `${url}/page`);
    if (told === undefined) return t.skip("wrk is not installed");
    assert.match(told, /requests in/);
    assert.doesNotMatch(told, /Socket errors|Non-2xx/);
  });

  it("serves h2load without a failure", async (t) => {
    const told = await run("h2load", "--h1", "-n2000", "-c16", "-m4", `${url}/page`);
    if (told === undefined) return t.skip("h2load is not installed");
    assert.match(told, /2000 succeeded, 0 failed, 0 errored, 0 timeout/);
  });

  it("serves Python's http.client", async (t) => {
    const program = `
import http.client, sys
c = http.client.HTTPConnection(sys.argv[1], timeout=20)
ports = []
for i in range(3):
    c.request("GET", "/port"); r = c.getresponse(); ports.append(r.read())
assert len(set(ports)) == 1, ports
c.request("POST", "/", body=iter([b"a", b"b" * 70000]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
assert c.getresponse().read() == b"a" + b"b" * 70000
c.request("HEAD", "/page"); r = c.getresponse(); assert r.read() == b"" and int(r.headers["content-length"]) > 0
c.request("GET", "/stream"); assert c.getresponse().read() == b"one two three"
print("fine")`;
    const told = await run("python3", "-c", program, String(server.addr));
    if (told === undefined) return t.skip("python3 is not installed");
    assert.equal(told, "fine\n");
  });

  it("serves Go's net/http", async (t) => {
    if ((await run("go", "version")) === undefined) return t.skip("go is not installed");
    await mkdir(join(folder, "go"), { recursive: true });
    await writeFile(join(folder, "go", "main.go"), GO);
    const told = await run("go", "run", join(folder, "go", "main.go"), url);
    assert.equal(told, "fine\n");
  });

  it("serves undici, pipelining", async () => {
    const { Client } = createRequire(import.meta.url)("undici");
    const client = new Client(url, { pipelining: 10 });
    const bodies = Array.from({ length: 50 }, async (_, i) => {
      const { body } = await client.request({
        path: `/?${i}`,
        method: "PUT",
        body: `${i}`,
        idempotent: true,
      });
      return await body.text();
    });
    assert.deepEqual(
      await Promise.all(bodies),
      Array.from({ length: 50 }, (_, i) => `${i}`),
    );
    await client.close();
  });

  it("serves node:http with an agent that keeps its connections", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ports = new Set<string>();
    for (let i = 0; i < 5; i++) {
      const outgoing = nodeRequest(`${url}/port`, { agent });
      outgoing.end();
      const [incoming] = await once(outgoing, "response");
      let text = "";
      for await (const chunk of incoming) text += chunk;
      ports.add(text);
    }
    agent.destroy();
    assert.equal(ports.size, 1);
  });

  it("serves a browser", { timeout: 60_000 }, async (t: TestContext) => {
    if (!existsSync(CHROMIUM)) return t.skip("Chromium is not installed");
    const { chromium } = createRequire(import.meta.url)("playwright-core");
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
    try {
      const page = await browser.newPage();
      const failures: string[] = [];
      page.on("requestfailed", (request: { url(): string }) => failures.push(request.url()));
      await page.goto(`${url}/page`);
      const result = await page.evaluate("window.result");
      assert.deepEqual(result, {
        streamed: "one two three",
        uploaded: { size: 100_000, word: "grüße" },
        many: Array(20).fill(200),
        style: "rgb(1, 2, 3)",
      });
      assert.deepEqual(failures, []);
    } finally {
      await browser.close();
    }
  });
});

const GO = `package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func main() {
	url := os.Args[1]
	check := func(r *http.Response, err error, want string) {
		if err != nil {
			panic(err)
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || string(body) != want {
			panic(fmt.Sprint(err, len(body), " bytes"))
		}
	}
	large := strings.Repeat("x", 300000)
	for i := 0; i < 3; i++ {
		r, err := http.Post(url+"/", "text/plain", strings.NewReader(large))
		check(r, err, large)
		r, err = http.Post(url+"/", "text/plain", io.MultiReader(strings.NewReader(large)))
		check(r, err, large)
		r, err = http.Get(url + "/stream")
		check(r, err, "one two three")
	}
	r, err := http.Head(url + "/page")
	check(r, err, "")
	fmt.Println("fine")
}
`;
