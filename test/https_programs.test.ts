// Programs that others have written talk HTTPS with the server, over HTTP/1.1 and HTTP/2: curl, h2load,
// openssl, and a browser.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";
import { promisify } from "node:util";
import { chromium } from "playwright-core";
import {
  eventStream,
  type Handler,
  lastEventId,
  Response,
  type Server,
  type ServerSentEvent,
  serve,
  upgradeWebSocket,
} from "../src/http/index.ts";
import { sleep, type TCPAddr, type TlsConn } from "../src/index.ts";
import { makeCertificate, selfSigned } from "../testing/certificates.ts";
import { foreignEnv } from "./foreign_programs.ts";

const CHROMIUM = "/usr/bin/chromium";

const authority = makeCertificate({ commonName: "Authority", isCA: true });
const leaf = makeCertificate({ names: ["localhost", "127.0.0.1"], issuer: authority });
const ada = makeCertificate({ commonName: "ada", issuer: authority });
const stranger = selfSigned("stranger");

const PAGE = `<!doctype html><title>page</title><script src="/app.js"></script><script>
function sockets() {
  return new Promise((resolve, reject) => {
    const heard = [];
    const socket = new WebSocket("wss://" + location.host + "/socket", ["echo"]);
    socket.onopen = () => {
      socket.send("hello");
      socket.send("x".repeat(100000));
    };
    socket.onerror = reject;
    socket.onmessage = ({ data }) => {
      heard.push(data.length);
      if (heard.length === 2) socket.close(4000, "seen");
    };
    socket.onclose = ({ code, wasClean }) => resolve({ heard, code, wasClean });
  });
}
function events() {
  return new Promise((resolve) => {
    const heard = [];
    const source = new EventSource("/events");
    source.onmessage = ({ data }) => {
      heard.push(data);
      if (heard.length < 3) return;
      source.close();
      resolve(heard);
    };
  });
}
async function fetches() {
  const uploaded = await fetch("/", { method: "POST", body: "y".repeat(300000) });
  const many = Array.from({ length: 30 }, async (_, i) => (await fetch("/agreed?" + i)).text());
  const spoken = performance.getEntriesByType("navigation")[0].nextHopProtocol;
  return { uploaded: (await uploaded.text()).length, many: await Promise.all(many), spoken, app };
}
</script>`;

function typed(body: string, type: string): Response {
  return new Response(body, { headers: { "content-type": type } });
}

/** Ends once, so that the browser comes again. */
async function* source(last: string): AsyncGenerator<ServerSentEvent | string> {
  if (last === "") {
    yield { retry: 10 };
    yield { id: "1", data: "first" };
    return;
  }
  yield { data: `after ${last}` };
  for (;;) {
    yield "more";
    await sleep(5);
  }
}

const handle: Handler = async (request, info) => {
  const { pathname } = new URL(request.url);
  switch (pathname) {
    case "/page":
      return typed(PAGE, "text/html");
    case "/app.js":
      return typed("const app = 'loaded';", "text/javascript");
    case "/agreed": {
      const { alpnProtocol, authorized, peerCertificate } = info.conn as TlsConn;
      return new Response(`${alpnProtocol} ${authorized} ${peerCertificate?.subject}`);
    }
    case "/events":
      return eventStream(source(lastEventId(request)), { signal: request.signal });
    case "/socket": {
      const socket = await upgradeWebSocket(request, info, { protocols: ["echo"] });
      for await (const message of socket) await socket.send(message);
      await socket.close();
      return undefined;
    }
    default:
      return new Response(request.body);
  }
};

describe("a server of HTTPS", () => {
  let server: Server;
  let url = "";
  let folder = "";

  before(async () => {
    server = await serve("127.0.0.1:0", handle, {
      tls: {
        cert: leaf.cert,
        key: leaf.key,
        ca: authority.cert,
        requestCert: true,
        rejectUnauthorized: false,
      },
      // What a program leaves behind is no test's failure.
      onError: () => {},
    });
    url = `https://localhost:${(server.addr as TCPAddr).port}`;
    folder = await mkdtemp(join(tmpdir(), "coronet-https-"));
    const files = {
      ca: authority.cert,
      ada: ada.cert + ada.key,
      odd: stranger.cert + stranger.key,
    };
    for (const [name, text] of Object.entries(files)) {
      await writeFile(join(folder, `${name}.pem`), text);
    }
  });

  after(async () => {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });

  /** What a program says; undefined when it is not here. */
  async function run(program: string, args: string[], input = ""): Promise<string | undefined> {
    const options = { env: foreignEnv, timeout: 60_000, cwd: folder, maxBuffer: 64 << 20 };
    try {
      const running = promisify(execFile)(program, args, options);
      running.child.stdin?.on("error", () => {});
      running.child.stdin?.end(input);
      return (await running).stdout;
    } catch (error) {
      if ((error as { code?: unknown }).code === "ENOENT") return undefined;
      throw error;
    }
  }

  for (const [flag, spoken, version] of [
    ["--http1.1", "http/1.1", "HTTP/1.1"],
    ["--http2", "h2", "HTTP/2"],
  ] as const) {
    it(`serves curl ${flag}`, async (t) => {
      const features = await run("curl", ["--version"]);
      if (features === undefined) return t.skip("curl is not installed");
      if (spoken === "h2" && !features.includes("HTTP2")) return t.skip("curl has no HTTP/2");
      const common = [flag, "-sS", "--max-time", "30", "--cacert", "ca.pem"];
      const curl = (...args: string[]) => run("curl", [...common, ...args]);
      assert.equal(await curl(`${url}/agreed`), `${spoken} false undefined`);
      assert.equal(await curl("--tls-max", "1.2", `${url}/agreed`), `${spoken} false undefined`);

      const large = "0123456789".repeat(300_000);
      await writeFile(join(folder, "large"), large);
      assert.ok((await curl("-T", "large", `${url}/`)) === large, "PUT");
      assert.ok((await curl("--data-binary", "@large", `${url}/`)) === large, "POST");
      assert.ok((await curl("-T", "-", `${url}/`)) === "", "PUT of an empty stream");

      const head = (await curl("-I", `${url}/page`)) as string;
      assert.match(head, new RegExp(`^${version.replace("/", "\\/")} 200[ \\w]*\\r\\n`));
      assert.match(head, new RegExp(`^content-length: ${PAGE.length}\\r$`, "im"));

      const parallel = Array.from({ length: 40 }, (_, i) => `${url}/agreed?${i}`);
      const all = await curl("-Z", "--parallel-max", "20", ...parallel);
      assert.equal(all, `${spoken} false undefined`.repeat(40));

      assert.equal(await curl("--cert", "ada.pem", `${url}/agreed`), `${spoken} true CN=ada`);
      assert.equal(
        await curl("--cert", "odd.pem", `${url}/agreed`),
        `${spoken} false CN=stranger`,
        "a certificate that nobody vouches for is only told of",
      );
      // 60: the server's certificate is not trusted.
      await assert.rejects(run("curl", [flag, "-sS", `${url}/agreed`]), { code: 60 });
    });
  }

  for (const [flags, spoken] of [
    [["-m", "10"], "h2"],
    [["--h1"], "http/1.1"],
  ] as const) {
    it(`serves h2load over ${spoken} without a failure`, async (t) => {
      const told = await run("h2load", ["-n2000", "-c10", ...flags, `${url}/agreed`]);
      if (told === undefined) return t.skip("h2load is not installed");
      assert.match(told, new RegExp(`Application protocol: ${spoken}`));
      assert.match(told, /2000 succeeded, 0 failed, 0 errored, 0 timeout/);
      assert.match(told, /status codes: 2000 2xx/);
    });
  }

  it("agrees with openssl on the protocol, and on none", async (t) => {
    if ((await run("openssl", ["version"])) === undefined) {
      return t.skip("openssl is not installed");
    }
    const request = "GET /agreed HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    const address = `localhost:${(server.addr as TCPAddr).port}`;
    const common = ["s_client", "-connect", address, "-CAfile", "ca.pem", "-verify_return_error"];
    const ask = (input: string, ...args: string[]) =>
      run("openssl", [...common, "-ign_eof", ...args], input) as Promise<string>;

    const old = await ask(request, "-alpn", "http/1.0,http/1.1");
    assert.match(old, /ALPN protocol: http\/1\.1/);
    assert.match(old, /Verify return code: 0 \(ok\)/);
    assert.match(old, /HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nhttp\/1\.1 false undefined/);
    const none = await ask(request);
    assert.match(none, /No ALPN negotiated/);
    assert.match(none, /HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nundefined false undefined/);

    // The server prefers h2, whatever the client names first, and ends what does not begin with its preface.
    const modern = await ask("GET / HTTP/1.1\r\n\r\n", "-alpn", "http/1.1,h2");
    assert.match(modern, /ALPN protocol: h2/);
    // Nothing in common: a fatal alert, no_application_protocol (RFC 7301, 3.2).
    await assert.rejects(ask(request, "-alpn", "spdy/3"), (error: { stderr?: string }) => {
      assert.match(String(error.stderr), /no application protocol/);
      return true;
    });
  });

  it("serves a browser", { timeout: 60_000 }, async (t: TestContext) => {
    if (!existsSync(CHROMIUM)) return t.skip(`there is no ${CHROMIUM}`);
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
    try {
      const context = await browser.newContext({ ignoreHTTPSErrors: true });
      const page = await context.newPage();
      const failures: string[] = [];
      page.on("pageerror", (error) => failures.push(String(error)));
      await page.goto(`${url}/page`);
      assert.deepEqual(await page.evaluate("fetches()"), {
        uploaded: 300_000,
        many: Array(30).fill("h2 false undefined"),
        spoken: "h2",
        app: "loaded",
      });
      assert.deepEqual(await page.evaluate("sockets()"), {
        heard: [5, 100_000],
        code: 4000,
        wasClean: true,
      });
      assert.deepEqual(await page.evaluate("events()"), ["first", "after 1", "more"]);
      assert.deepEqual(failures, []);
    } finally {
      await browser.close();
    }
  });
});
