/** syscalls.test.ts: how many system calls serving costs, by the kernel's own account (strace). */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, type TestContext, test } from "node:test";
import { type Conn, createSecureContext, dial, dialTls, go } from "../src/index.ts";
import { nativeOnly } from "../testing/backend.ts";
import { readFull } from "../testing/support.ts";
import { Child, lacks } from "./child.ts";

const CONNECTIONS = 50;
const MESSAGES_EACH = 100;
const MESSAGES = CONNECTIONS * MESSAGES_EACH;
/** "?" in front: a name that this architecture lacks is no error. */
const CALLS = [
  ...["recvfrom", "sendto", "recvmsg", "sendmsg", "read", "write", "accept4", "epoll_ctl"],
  ...["?epoll_wait", "?epoll_pwait", "?epoll_pwait2", "?access", "?faccessat", "?faccessat2"],
].join(",");

const folder = mkdtempSync(join(tmpdir(), "coronet-strace-"));
const file = join(folder, "trace");
after(() => rmSync(folder, { recursive: true, force: true }));

async function converse(conn: Conn): Promise<void> {
  const message = new Uint8Array(64).fill(7);
  for (let i = 0; i < MESSAGES_EACH; i++) {
    await conn.write(message);
    assert.equal((await readFull(conn, message.length)).length, message.length);
  }
}

async function allConverse(conns: readonly Conn[]): Promise<void> {
  await Promise.all(conns.map((conn) => go(converse, conn).join()));
}

/** The calls of the main thread between the two marks: how often each, and how often with EAGAIN. */
function callsBetween(begin: string, end: string): { count: Map<string, number>; again: number } {
  const lines = readFileSync(file, "utf8").split("\n");
  const first = lines.findIndex((line) => line.includes(`/coronet-mark-${begin}`));
  const last = lines.findIndex((line) => line.includes(`/coronet-mark-${end}`));
  assert.ok(first !== -1 && last > first, "the marks are not in the trace");
  const thread = lines[first]?.split(" ")[0];
  const count = new Map<string, number>();
  let again = 0;
  for (const line of lines.slice(first + 1, last)) {
    const [, pid, name] = /^(\d+) +(\w+)\(/.exec(line) ?? [];
    if (pid !== thread || name === undefined) continue;
    count.set(name, (count.get(name) ?? 0) + 1);
    if (/^(recvfrom|sendto)$/.test(name) && line.includes("EAGAIN")) again++;
  }
  return { count, again };
}

const skip =
  nativeOnly("it costs what Node costs") ||
  (lacks("strace", "-f", "-e", "trace=read", "-o", "/dev/null", "true") ?? false);

async function count(
  t: TestContext,
  protocol: "tcp" | "tls",
  connect: (address: string) => Promise<Conn>,
): Promise<void> {
  const prefix = ["strace", "-f", "-qq", "-s", "80", "-o", file, "-e", `trace=${CALLS}`];
  await using server = new Child("traced_server", [protocol], { prefix, timeout: 100_000 });
  const address = await server.line();
  const conns: Conn[] = [];
  for (let i = 0; i < CONNECTIONS; i++) conns.push(await connect(address));
  await allConverse(conns);
  server.say("begin");
  assert.equal(await server.line(), "begin");
  await allConverse(conns);
  server.say("end");
  assert.equal(await server.line(), "end");
  for (const conn of conns) await conn.close();
  server.process.stdin.end();
  assert.equal((await server.ended).status, 0);

  const { count: counts, again } = callsBetween("begin", "end");
  t.diagnostic([...counts].map(([name, n]) => `${name} ${n}`).join(", "));
  const calls = (...names: string[]): number =>
    names.reduce((sum, name) => sum + (counts.get(name) ?? 0), 0);
  const near = (n: number): boolean => Math.abs(n - MESSAGES) <= MESSAGES * 0.02;
  assert.ok(near(calls("recvfrom", "recvmsg")), "one receive for each message");
  assert.ok(near(calls("sendto", "sendmsg")), "one send for each message");
  assert.equal(again, 0, "no call in vain");
  assert.equal(calls("epoll_ctl"), 0, "a connection is armed once for its life");
  const waits = calls("epoll_wait", "epoll_pwait", "epoll_pwait2");
  assert.ok(waits < MESSAGES * 0.25, `${waits} waits for ${MESSAGES} messages`);
}

test("an echo costs one receive and one send, and little else", { skip }, (t) =>
  count(t, "tcp", (address) => dial("tcp", address)),
);

test("an echo over TLS costs no more", { skip }, async (t) => {
  const secureContext = createSecureContext({});
  const options = { rejectUnauthorized: false, secureContext };
  await count(t, "tls", (address) => dialTls("tcp", address, options));
});
