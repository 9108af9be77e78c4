/** take_fd.test.ts: dupFd, and takeFd, which receives a message and its fd or leaves both alone. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { after, before, beforeEach, describe, test } from "node:test";
import { AF_UNIX, SOCK_SEQPACKET, SOCK_STREAM } from "./constants.ts";
import { EAGAIN, EBADF } from "./errno.ts";
import { nativeKernel } from "./native.ts";

const kernel = nativeKernel();
const out = new Int32Array(1);
const buffer = new Uint8Array(16);
let pair: number[];
let passed: number[];

function socketpair(type: number): number[] {
  const fds = new Int32Array(2);
  assert.equal(kernel.socketpair(AF_UNIX, type, fds), 0);
  return [...fds];
}

function send(text: string, ...fds: number[]): void {
  const bytes = Buffer.from(text);
  const n = kernel.sendmsgFds(pair[0] as number, bytes, 0, bytes.length, Int32Array.from(fds));
  assert.equal(n, bytes.length);
}

function take(): [text: string | number, fd: number] {
  const n = kernel.takeFd(pair[1] as number, buffer, 0, buffer.length, out);
  return [n < 0 ? n : Buffer.from(buffer.subarray(0, n)).toString(), out[0] as number];
}

function openFds(): number {
  return readdirSync("/proc/self/fd").length;
}

describe("takeFd", () => {
  before(() => {
    passed = socketpair(SOCK_STREAM);
  });

  beforeEach(() => {
    for (const fd of pair ?? []) kernel.close(fd);
    pair = socketpair(SOCK_SEQPACKET);
  });

  after(() => {
    for (const fd of [...pair, ...passed]) kernel.close(fd);
  });

  test("gives messages in order, with the fd that is another number for the same file", () => {
    send("first", passed[0] as number);
    send("second");
    const [text, fd] = take();
    assert.equal(text, "first");
    assert.notEqual(fd, passed[0]);
    assert.equal(kernel.send(fd, Buffer.from("x"), 0, 1), 1);
    assert.equal(kernel.recv(passed[1] as number, buffer, 0, 16), 1);
    assert.equal(kernel.close(fd), 0);
    assert.deepEqual(take(), ["second", -1]);
    assert.deepEqual(take(), [-EAGAIN, -1]);
  });

  test("says 0 when nobody can send any more", () => {
    kernel.close(pair[0] as number);
    assert.deepEqual(take(), ["", -1]);
    pair = [pair[1] as number];
  });

  test("closes what one message has beyond its first fd", () => {
    const before = openFds();
    send("many", ...passed, ...passed);
    const [text, fd] = take();
    assert.equal(text, "many");
    assert.equal(openFds(), before + 1);
    assert.equal(kernel.close(fd), 0);
    assert.equal(openFds(), before);
  });
});

test("dupFd gives another number for the same file, which can be closed by itself", () => {
  const [a = -1, b = -1] = socketpair(SOCK_STREAM);
  const again = kernel.dupFd(a);
  assert.ok(again >= 0 && again !== a);
  assert.equal(kernel.close(a), 0);
  assert.equal(kernel.send(again, Buffer.from("still"), 0, 5), 5);
  assert.equal(kernel.recv(b, buffer, 0, 16), 5);
  assert.equal(kernel.close(again), 0);
  assert.equal(kernel.close(b), 0);
  assert.equal(kernel.dupFd(-1), -EBADF);
});
