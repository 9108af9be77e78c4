/** assert.test.ts: a failed assertion says that Coronet is wrong, and in what. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assert as check } from "./assert.ts";

test("throws when the condition does not hold, and only then", () => {
  check(true, "never seen");
  assert.throws(() => check(false, "two and two"), {
    message: "coronet: internal error: two and two",
  });
});
