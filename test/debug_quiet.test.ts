/** debug_quiet.test.ts: of correct programs nothing is reported, whatever is switched on. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { run } from "./child.ts";

const { stdout } = await run("quiet");
const names = JSON.parse(stdout) as string[];
const env = { CORONET_DEBUG: "1", CORONET_DEBUG_LOCKS: "40", CORONET_TRACEBACK: "all" };

describe("nothing is reported of", { concurrency: 4 }, () => {
  for (const name of names) {
    test(name, async () => {
      const ended = await run("quiet", [name], { env });
      assert.deepEqual(ended, { status: 0, signal: null, stdout: "", stderr: "" });
    });
  }
  test("at least thirty programs", () => assert.ok(names.length >= 30));
});
