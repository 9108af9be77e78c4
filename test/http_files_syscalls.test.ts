/** http_files_syscalls.test.ts: what a response that is a file costs, by the kernel's own account (strace). */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { nativeOnly } from "../testing/backend.ts";
import { RawClient } from "../testing/http_client.ts";
import { Child, lacks } from "./child.ts";

const CALLS = "sendto,sendmsg,sendfile,openat,pread64,read";
const folder = mkdtempSync(join(tmpdir(), "coronet-files-"));
after(() => rmSync(folder, { recursive: true, force: true }));

test("a file is one sendfile behind its head, and no byte of it comes into the process", {
  skip:
    nativeOnly("it has no sendfile") ||
    (lacks("strace", "-f", "-e", "trace=read", "-o", "/dev/null", "true") ?? false),
}, async (t) => {
  const trace = join(folder, "trace");
  writeFileSync(join(folder, "file"), "");
  truncateSync(join(folder, "file"), 100_000);
  const prefix = ["strace", "-f", "-qq", "-o", trace, "-e", `trace=${CALLS}`];
  await using child = new Child("serving_files", [folder], { prefix, timeout: 100_000 });
  await using client = await RawClient.to(await child.line());
  const REQUESTS = 20;
  for (let i = 0; i < REQUESTS; i++) {
    await client.send("GET /file HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal((await client.response())?.body.length, 100_000);
  }
  await client.conn.close();
  child.process.stdin.end();
  assert.equal((await child.ended).status, 0);

  const lines = readFileSync(trace, "utf8").split("\n");
  const sendfiles = lines.filter((line) => /sendfile\(.*\) = \d+/.test(line));
  const heads = lines.filter((line) => /sendto\(.*HTTP\/1\.1 200/.test(line));
  t.diagnostic(`${REQUESTS} requests: ${heads.length} sendto, ${sendfiles.length} sendfile`);
  assert.equal(heads.length, REQUESTS);
  assert.ok(heads.every((line) => line.includes("MSG_MORE")));
  assert.ok(sendfiles.length < REQUESTS * 3);
  assert.ok(!lines.some((line) => /(pread64|read)\(.*= (65536|100000)$/.test(line)));
});
