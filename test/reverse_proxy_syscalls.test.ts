/** reverse_proxy_syscalls.test.ts: what a proxied request costs, by the kernel's own account (strace). */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Response, serve } from "../src/http/index.ts";
import { nativeOnly } from "../testing/backend.ts";
import { RawClient } from "../testing/http_client.ts";
import { Child, lacks } from "./child.ts";

const folder = mkdtempSync(join(tmpdir(), "coronet-proxy-"));
after(() => rmSync(folder, { recursive: true, force: true }));

test("a proxied request is read, sent, read and sent", {
  skip:
    nativeOnly("its system calls are others") ||
    (lacks("strace", "-f", "-e", "trace=read", "-o", "/dev/null", "true") ?? false),
}, async (t) => {
  const trace = join(folder, "trace");
  const prefix = ["strace", "-f", "-qq", "-o", trace, "-e", "trace=sendto,recvfrom,epoll_ctl"];
  await using upstream = await serve("127.0.0.1:0", () => new Response("hello"));
  await using child = new Child("proxying", [`http://${upstream.addr}`], {
    prefix,
    timeout: 100_000,
  });
  await using client = await RawClient.to(await child.line());
  const REQUESTS = 40;
  for (let i = 0; i < REQUESTS; i++) {
    await client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal((await client.response())?.body, "hello");
  }
  await client.conn.close();
  child.process.stdin.end();
  assert.equal((await child.ended).status, 0);

  const lines = readFileSync(trace, "utf8").split("\n");
  const count = (what: RegExp): number => lines.filter((line) => what.test(line)).length;
  const sent = count(/sendto\(.*HTTP\/1\.1/);
  const read = count(/recvfrom\(.*HTTP\/1\.1.* = \d+$/);
  const empty = count(/recvfrom\(.*EAGAIN/);
  const watched = count(/epoll_ctl\(/);
  t.diagnostic(`${REQUESTS} requests: ${sent} sendto, ${read} recvfrom, ${empty} of nothing`);
  assert.equal(sent, 2 * REQUESTS);
  assert.equal(read, 2 * REQUESTS);
  // Where the poller has not looked for a while, which a busy machine does to it, a connection is probed.
  assert.ok(empty < REQUESTS, `${empty} reads of nothing`);
  assert.ok(watched < REQUESTS, `${watched} calls of epoll_ctl`);
});
