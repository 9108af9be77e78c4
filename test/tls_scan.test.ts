/**
 * tls_scan.test.ts: testssl.sh finds no weakness in what tlsListen does by default.
 *
 * By default it looks at protocols; CORONET_TESTSSL=1 has it try ciphers, forward secrecy and every
 * vulnerability that it knows as well, which takes more than a minute.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { go, type TlsConn, tlsListen } from "../src/index.ts";
import { makeCertificate } from "../testing/certificates.ts";
import { lacks } from "./child.ts";
import { foreignEnv } from "./foreign_programs.ts";

interface Finding {
  id: string;
  severity: string;
  finding: string;
}

const CHECKS = process.env.CORONET_TESTSSL === "1" ? ["-p", "-s", "-f", "-U"] : ["-p"];
/** What says nothing against the server; WARN is about what testssl itself cannot do here. */
const HARMLESS = ["OK", "INFO", "DEBUG", "WARN"];
const folder = mkdtempSync(join(tmpdir(), "coronet-testssl-"));
after(() => rmSync(folder, { recursive: true, force: true }));

async function answer(conn: TlsConn): Promise<void> {
  await using _ = conn;
  for await (const _request of conn) {
    await conn.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  }
}

test("testssl finds no weakness in the defaults", {
  skip: lacks("testssl", "--version") ?? false,
  timeout: 110_000,
}, async () => {
  const authority = makeCertificate({ commonName: "Authority", isCA: true });
  const { cert, key } = makeCertificate({ names: ["localhost"], issuer: authority });
  const [ca, json] = [join(folder, "ca.pem"), join(folder, "findings.json")];
  writeFileSync(ca, authority.cert);
  await using listener = await tlsListen("tcp", "127.0.0.1:0", { cert, key });
  go(async () => {
    // Most of what testssl begins is no handshake that succeeds.
    for await (const conn of listener) go(() => answer(conn).catch(() => {}));
  });
  const address = String(listener.addr).replace("127.0.0.1", "localhost");
  const quiet = ["--quiet", "--warnings", "off", "--color", "0", "--ip", "127.0.0.1"];
  const program = spawn(
    "testssl",
    [...quiet, "--jsonfile", json, "--add-ca", ca, ...CHECKS, address],
    { env: foreignEnv, stdio: ["ignore", "pipe", "pipe"], timeout: 105_000 },
  );
  let output = "";
  for (const stream of [program.stdout, program.stderr]) {
    stream.on("data", (data: Buffer) => {
      output += data.toString("latin1");
    });
  }
  await once(program, "close");
  const findings = JSON.parse(readFileSync(json, "utf8")) as Finding[];
  const byId = new Map(findings.map((each) => [each.id, each]));
  // It did reach the server, and saw what is there.
  assert.match(byId.get("TLS1_3")?.finding ?? output, /offered/);
  assert.equal(byId.get("TLS1")?.finding, "not offered");
  assert.equal(byId.get("cipherlist_OBSOLETED")?.finding ?? "not offered", "not offered");
  const weak = findings.filter(({ severity }) => !HARMLESS.includes(severity));
  assert.deepEqual(weak, []);
});
