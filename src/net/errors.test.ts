/** errors.test.ts: the one error of the package: what it says and what it means for a goroutine. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { endsQuietly } from "../runtime/panic.ts";
import {
  CANCELED,
  CLOSED,
  DEADLINE,
  EADDRINUSE,
  ECONNREFUSED,
  ECONNRESET,
  EINVAL,
  EMFILE,
  EPIPE,
  ETIMEDOUT,
} from "../syscall/errno.ts";
import { errorOf, NetError } from "./errors.ts";

const conn = { network: "tcp", source: "127.0.0.1:1", address: "127.0.0.1:2" };

describe("an error", () => {
  test("reads like Go's: operation, network, route, what happened", () => {
    assert.equal(
      errorOf(ECONNRESET, { op: "read", ...conn }).message,
      "read tcp 127.0.0.1:1->127.0.0.1:2: connection reset by peer (ECONNRESET)",
    );
    assert.equal(
      errorOf(CLOSED, { op: "accept", network: "unix", address: "/x" }).message,
      "accept unix /x: use of closed network connection (ERR_CLOSED)",
    );
    assert.equal(
      errorOf(EPIPE, { op: "write", network: "unix", source: "/x", address: "" }).message,
      "write unix /x: broken pipe (EPIPE)",
    );
    assert.equal(
      errorOf(EINVAL, { op: "dial", network: "tcp" }).message,
      "dial tcp: invalid argument (EINVAL)",
    );
  });

  test("of a write says how far it got, if it got anywhere", () => {
    const partly = errorOf(DEADLINE, { op: "write", ...conn, bytesWritten: 512 });
    assert.match(partly.message, /i\/o timeout \(ERR_DEADLINE\), after 512 bytes$/);
    const none = errorOf(DEADLINE, { op: "write", ...conn, bytesWritten: 0 });
    assert.match(none.message, /\(ERR_DEADLINE\)$/);
    assert.equal(none.bytesWritten, 0);
  });

  test("of setting up says what to do, where there is something", () => {
    for (const [number, hint] of [
      [EADDRINUSE, /another socket listens there/],
      [ECONNREFUSED, /nothing listens there/],
      [EMFILE, /raise its limit/],
    ] as const) {
      assert.match(errorOf(number, { op: "listen", network: "tcp" }).message, hint);
    }
    assert.doesNotMatch(errorOf(ECONNREFUSED, { op: "read", ...conn }).message, /nothing listens/);
  });

  test("is a timeout when a time had passed, here or in the kernel", () => {
    for (const number of [DEADLINE, ETIMEDOUT]) {
      assert.equal(errorOf(number, { op: "read", ...conn }).timeout, true);
    }
    for (const number of [CLOSED, CANCELED, ECONNRESET]) {
      assert.equal(errorOf(number, { op: "read", ...conn }).timeout, false);
    }
  });

  test("carries its cause only when there is one", () => {
    const cause = new Error("why");
    assert.equal(errorOf(CANCELED, { op: "read", ...conn, cause }).cause, cause);
    assert.ok(!("cause" in errorOf(CANCELED, { op: "read", ...conn })));
  });

  test("ends its goroutine quietly when it is the end of a connection, not of setting one up", () => {
    for (const number of [ECONNRESET, EPIPE, CLOSED, DEADLINE, CANCELED]) {
      assert.equal(endsQuietly(errorOf(number, { op: "read", ...conn })), true);
      assert.equal(endsQuietly(errorOf(number, { op: "dial", ...conn })), false);
    }
    assert.equal(endsQuietly(errorOf(EMFILE, { op: "accept", ...conn })), false);
    assert.equal(endsQuietly(new Error("a bug")), false);
  });

  test("is an Error with a name of its own, and shows no more than its facts", () => {
    const error = errorOf(ECONNRESET, { op: "read", ...conn });
    assert.ok(error instanceof NetError && error instanceof Error);
    assert.equal(error.name, "NetError");
    assert.equal(String(error), `NetError: ${error.message}`);
    const { op, network, source, address, code, timeout } = error;
    assert.deepEqual(
      { op, network, source, address, code, timeout },
      { op: "read", ...conn, code: "ECONNRESET", timeout: false },
    );
  });
});
