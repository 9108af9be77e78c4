import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { TCPAddr, UnixAddr } from "../index.ts";
import { clientFor, neighbour, networkOf, pipeClientFor } from "./address.ts";
import { UsageError } from "./arguments.ts";

describe("addresses of the command line", () => {
  test("the form of an address tells its network", () => {
    for (const address of ["@name", "/run/x.sock", "./x.sock", "a/b"]) {
      assert.equal(networkOf(address, undefined), "unix", address);
    }
    for (const address of [":2333", "127.0.0.1:0", "[::1]:1", "host:1", "nonsense"]) {
      assert.equal(networkOf(address, undefined), "tcp", address);
    }
  });

  test("a named network goes before the form", () => {
    assert.equal(networkOf("x.sock", "unix"), "unix");
    assert.equal(networkOf(":1", "tcp6"), "tcp6");
    assert.throws(() => networkOf(":1", "udp"), UsageError);
  });

  test("what to type reaches the server", () => {
    assert.equal(clientFor(new TCPAddr("127.0.0.1", 9)), "nc 127.0.0.1 9");
    assert.equal(clientFor(new TCPAddr("::", 9)), "nc 127.0.0.1 9");
    assert.equal(clientFor(new TCPAddr("::1", 9)), "nc ::1 9");
    assert.equal(clientFor(new TCPAddr("fe80::1", 9, "eth0")), "nc fe80::1%eth0 9");
    assert.equal(pipeClientFor(new TCPAddr("0.0.0.0", 9)), "nc -N 127.0.0.1 9");
    assert.equal(pipeClientFor(new UnixAddr("unix", "/run/x")), "nc -N -U /run/x");
    assert.equal(clientFor(new UnixAddr("unix", "@x")), "socat - ABSTRACT-CONNECT:x");
  });

  test("a second service listens beside the first", () => {
    assert.equal(neighbour(":2333", 2334), ":2334");
    assert.equal(neighbour("127.0.0.1:0", 2334), "127.0.0.1:2334");
    assert.equal(neighbour("[::1]:1", 0), "[::1]:0");
    assert.equal(neighbour("@demo", 2334), "@demo.stats");
  });
});
