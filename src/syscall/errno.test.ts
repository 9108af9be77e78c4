/** errno.test.ts: error numbers, names and texts. */
import assert from "node:assert/strict";
import { constants } from "node:os";
import { test } from "node:test";
import { getSystemErrorMap } from "node:util";
import * as errno from "./errno.ts";

const { CANCELED, CLOSED, DEADLINE, EHOSTDOWN, ENONET, ETOOMANYREFS, errorName, errorText } = errno;

test("every number has the name that the system gives it", () => {
  for (const [negative, [name]] of getSystemErrorMap()) {
    // libuv's own numbers (EAI_…, EOF) are no errno.
    if (-negative < 1 || -negative > 133) continue;
    assert.equal(errorName(-negative), name);
    assert.notEqual(errorText(-negative), "");
  }
});

test("exported numbers are the system's", () => {
  const system = constants.errno as Record<string, number | undefined>;
  const own = new Set(["ENONET", "EHOSTDOWN", "ETOOMANYREFS"]);
  const exported = Object.entries(errno).filter(([name]) => /^E[A-Z]+$/.test(name));
  assert.ok(exported.length > 20);
  for (const [name, number] of exported) {
    assert.equal(typeof number, "number", name);
    if (own.has(name)) continue;
    assert.equal(number, system[name], name);
    // A number may have two names (EOPNOTSUPP and ENOTSUP).
    assert.equal(system[errorName(number as number)], number, name);
  }
});

test("names that node:os lacks have Linux's numbers", {
  skip: process.platform !== "linux",
}, () => {
  assert.equal(ENONET, 64);
  assert.equal(EHOSTDOWN, 112);
  assert.equal(ETOOMANYREFS, 109);
});

test("Coronet's own conditions have names and words, and are no errno", () => {
  for (const [number, name] of [
    [CLOSED, "ERR_CLOSED"],
    [DEADLINE, "ERR_DEADLINE"],
    [CANCELED, "ERR_CANCELED"],
  ] as const) {
    assert.equal(errorName(number), name);
    assert.match(errorText(number), /[a-z]+ [a-z]+/);
    assert.ok(number > 4095, "the kernel's numbers end there");
  }
});

test("an unknown number is shown as it is", () => {
  assert.equal(errorName(3999), "E3999");
  assert.equal(errorText(3999), "error number 3999");
  assert.equal(errorName(0), "E0");
});
