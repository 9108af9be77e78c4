/** copy_syscalls.test.ts: copy between sockets, and from a file, by the kernel's own account (strace). */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type Conn, dial, go } from "../src/index.ts";
import { pattern } from "../testing/support.ts";
import { Child, lacks } from "./child.ts";

const CALLS = "splice,sendfile,recvfrom,sendto,recvmsg,sendmsg,?pread64,pipe2";
const folder = mkdtempSync(join(tmpdir(), "coronet-copy-"));
after(() => rmSync(folder, { recursive: true, force: true }));

async function hashOf(conn: Conn, hash = createHash("sha256")): Promise<string> {
  for await (const chunk of conn) hash.update(chunk);
  return hash.digest("hex");
}

test("sockets are spliced and files are sent by the kernel; no byte comes into the process", {
  skip: lacks("strace", "-f", "-e", "trace=read", "-o", "/dev/null", "true") ?? false,
}, async (t) => {
  const trace = join(folder, "trace");
  const file = join(folder, "file");
  const content = pattern(8 << 20);
  writeFileSync(file, content);
  const prefix = ["strace", "-f", "-qq", "-o", trace, "-e", `trace=${CALLS}`];
  await using child = new Child("copying", [file], { prefix, timeout: 100_000 });
  const address = await child.line();
  await using from = await dial("tcp", address);
  await using to = await dial("tcp", address);
  const received = go(hashOf, to);
  await from.write(content);
  await from.closeWrite();
  assert.equal(Number(await child.line()), content.length);
  assert.equal(Number(await child.line()), content.length);
  const twice = createHash("sha256").update(content).update(content).digest("hex");
  assert.equal(await received.join(), twice);
  assert.equal((await child.ended).status, 0);

  const count = new Map<string, number>();
  for (const [, name] of readFileSync(trace, "utf8").matchAll(/^\d+ +(\w+)\(/gm)) {
    count.set(name as string, (count.get(name as string) ?? 0) + 1);
  }
  t.diagnostic([...count].map(([name, n]) => `${name} ${n}`).join(", "));
  const calls = (name: string): number => count.get(name) ?? 0;
  assert.ok(calls("splice") > 0 && calls("sendfile") > 0);
  for (const name of ["recvfrom", "sendto", "recvmsg", "sendmsg"])
    assert.equal(calls(name), 0, name);
  assert.ok(calls("pipe2") < 10, "a pipe serves for many rounds");
});
