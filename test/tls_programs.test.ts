/** tls_programs.test.ts: programs that others wrote: openssl s_client and s_server, curl. */
import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Response, serve } from "../src/http/index.ts";
import { dialTls, go, type NetError, sleep, tlsListen } from "../src/index.ts";
import { makeCertificate } from "../testing/certificates.ts";
import { readText } from "../testing/support.ts";
import { lacks } from "./child.ts";
import { foreignEnv } from "./foreign_programs.ts";

const authority = makeCertificate({ commonName: "Authority", isCA: true });
const leaf = makeCertificate({ names: ["localhost", "127.0.0.1"], issuer: authority });
const folder = mkdtempSync(join(tmpdir(), "coronet-tls-"));
after(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

const caFile = file("ca.pem", authority.cert);
const certFile = file("cert.pem", leaf.cert);
const keyFile = file("key.pem", leaf.key);

class Program implements AsyncDisposable {
  readonly process: ChildProcessWithoutNullStreams;
  output = "";
  readonly ended: Promise<number | null>;

  constructor(...command: string[]) {
    const [name = "", ...args] = command;
    this.process = spawn(name, args, { env: foreignEnv, timeout: 30_000 });
    this.process.stdin.on("error", () => {});
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.on("data", (data: Buffer) => {
        this.output += data.toString("latin1");
      });
    }
    this.ended = new Promise((resolve) => this.process.on("close", resolve));
  }

  /** Waits until it has printed that. */
  async prints(what: RegExp): Promise<void> {
    while (!what.test(this.output)) {
      if (this.process.exitCode !== null) assert.fail(`it ended: ${this.output}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.process.kill("SIGKILL");
    await this.ended;
  }
}

const noOpenssl = lacks("openssl", "version") ?? false;
const noCurl = lacks("curl", "--version") ?? false;

for (const version of ["tls1_2", "tls1_3"]) {
  test(`openssl s_client echoes, updates its keys and verifies (${version})`, {
    skip: noOpenssl,
  }, async () => {
    await using listener = await tlsListen("tcp", "127.0.0.1:0", leaf);
    const echoing = go(async () => {
      await using conn = await listener.accept();
      for await (const chunk of conn) await conn.write(chunk);
    });
    const address = String(listener.addr);
    await using client = new Program(
      ...["openssl", "s_client", "-connect", address, `-${version}`, "-CAfile", caFile],
      ...["-verify_return_error", "-servername", "localhost", "-verify_hostname", "localhost"],
    );
    await client.prints(/Verify return code: 0/);
    // "K" asks both sides for new keys (s_client(1)); TLS 1.2 has no such thing.
    for (const [i, line] of ["one", version === "tls1_3" ? "K" : "two", "three"].entries()) {
      client.process.stdin.write(`${line}\n`);
      if (line === "K") await client.prints(/KEYUPDATE/);
      else await client.prints(new RegExp(`\\n${line}\\n`));
      assert.ok(i < 3);
    }
    client.process.stdin.end("Q\n");
    await client.ended;
    await echoing.join().catch(() => {});
  });

  test(`openssl s_server is understood, and its key update (${version})`, {
    skip: noOpenssl,
  }, async () => {
    await using server = new Program(
      ...["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", certFile, "-key", keyFile],
      ...[`-${version}`, "-msg"],
    );
    await server.prints(/ACCEPT \S+:\d+/);
    const [, address = ""] = /ACCEPT (\S+:\d+)/.exec(server.output) ?? [];
    await using conn = await dialTls("tcp", address, { ca: authority.cert });
    await conn.write("from here\n");
    await server.prints(/from here/);
    if (version === "tls1_3") {
      server.process.stdin.write("K\n");
      await server.prints(/KeyUpdate/);
    }
    server.process.stdin.write("from there\n");
    assert.equal(await readText(conn, 11), "from there\n");
    await conn.write("and again\n");
    await server.prints(/and again/);
  });
}

test("curl is served, and trusts only what it is told to", { skip: noCurl }, async () => {
  const listener = await tlsListen("tcp", "127.0.0.1:0", { ...leaf, ALPNProtocols: ["http/1.1"] });
  const body = "x".repeat(300_000);
  await using server = await serve(listener, () => new Response(body));
  const url = `https://${server.addr}/`;
  const curl = async (...args: string[]): Promise<[number | null, string]> => {
    await using program = new Program("curl", "-sS", ...args, url);
    return [await program.ended, program.output];
  };
  assert.deepEqual(await curl("--cacert", caFile), [0, body]);
  assert.deepEqual(await curl("--insecure", "--tls-max", "1.2"), [0, body]);
  assert.equal((await curl())[0], 60, "it does not trust the authority");
});

const UPDATES = 10;

test("keys that are updated again and again disturb neither reader nor writer", {
  skip: noOpenssl,
}, async () => {
  await using listener = await tlsListen("tcp", "127.0.0.1:0", leaf);
  await using client = new Program(
    ...["openssl", "s_client", "-connect", String(listener.addr), "-tls1_3", "-CAfile", caFile],
  );
  await using conn = await listener.accept();
  const lines: string[] = [];
  const reading = go(async () => {
    const decoder = new TextDecoder();
    for await (const chunk of conn) lines.push(decoder.decode(chunk));
  });
  await conn.handshake();
  let updates = 0;
  const writing = go(async () => {
    // The writer never waits for the reader; each update is answered by one of this side.
    while (updates < UPDATES) {
      await conn.write("xxxxxxxxxxxxxxx\n");
      await sleep(1);
    }
    await conn.write("that was all\n");
  });
  for (; updates < UPDATES; updates++) {
    client.process.stdin.write("K\n");
    const seen = updates + 1;
    while ((client.output.match(/KEYUPDATE/g)?.length ?? 0) < seen) {
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    // A command counts at the beginning of what it reads: this line has to be through.
    client.process.stdin.write(`line ${updates}\n`);
    while (!lines.join("").includes(`line ${updates}\n`)) {
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }
  await client.prints(/that was all/);
  await writing.join();
  const wanted = Array.from({ length: UPDATES }, (_, i) => `line ${i}\n`).join("");
  assert.equal(lines.join(""), wanted);
  client.process.stdin.write("Q\n");
  await reading.join();
});

test("a client of TLS 1.2 that wants to negotiate anew is refused, and the connection goes on", {
  skip: noOpenssl,
}, async () => {
  await using listener = await tlsListen("tcp", "127.0.0.1:0", leaf);
  await using client = new Program(
    ...["openssl", "s_client", "-connect", String(listener.addr), "-tls1_2", "-CAfile", caFile],
  );
  await using conn = await listener.accept();
  await conn.handshake();
  const ended = go(async () => {
    for await (const chunk of conn) await conn.write(chunk);
  });
  await client.prints(/Verify return code: 0/);
  client.process.stdin.write("R\n");
  // Its OpenSSL gives up when it gets the warning no_renegotiation (RFC 5246, 7.2.2).
  await client.prints(/no renegotiation/i);
  await client.ended;
  await ended.join().catch((error: NetError) => assert.equal(error.name, "NetError"));
});
