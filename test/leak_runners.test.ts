/**
 * leak_runners.test.ts: the leak check under node:test, vitest and jest: a test that leaves a goroutine
 * behind fails, with the goroutine's name and line, and a tidy one passes.
 *
 * vitest and jest are installed when they are first needed, from npm, in tools/runners, whose lock file
 * says which; where that cannot be, their tests are skipped.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../../tools/runners/", import.meta.url));
/** npm ci takes 20 s on a quiet machine. */
const INSTALL_MS = 90_000;

interface Finished {
  status: number | null;
  output: string;
}

function execute(command: string, args: readonly string[], timeout: number): Promise<Finished> {
  return new Promise((resolve) => {
    const {
      NODE_TEST_CONTEXT: _,
      NODE_OPTIONS: __,
      NODE_V8_COVERAGE: ___,
      ...inherited
    } = process.env;
    const env = { ...inherited, NO_COLOR: "1", CI: "1" };
    const child = execFile(
      command,
      args,
      { cwd: folder, env, timeout },
      (error, stdout, stderr) => {
        const why = child.exitCode === null ? String(error) : "";
        resolve({ status: child.exitCode, output: `${stdout}\n${stderr}\n${why}` });
      },
    );
  });
}

async function install(): Promise<string | undefined> {
  if (existsSync(join(folder, "node_modules/vitest/vitest.mjs"))) return undefined;
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
  const { status, output } = await execute("npm", args, INSTALL_MS);
  return status === 0 ? undefined : `npm could not install them: ${output.trim().slice(0, 200)}`;
}

const missing = await install();

const runners: Record<string, readonly string[]> = {
  "node:test": ["--test", "--test-reporter=spec", "leaks.node.mjs"],
  vitest: ["node_modules/vitest/vitest.mjs", "run", "--reporter=verbose"],
  jest: ["--experimental-vm-modules", "node_modules/jest/bin/jest.js", "--verbose"],
};

describe("verifyNoLeaksInEach", () => {
  for (const [runner, args] of Object.entries(runners)) {
    const skip = runner !== "node:test" && missing !== undefined ? missing : false;
    test(`fails the test that leaks, under ${runner}`, { skip }, async () => {
      const { status, output } = await execute(process.execPath, args, 60_000);
      assert.equal(status, 1, output);
      assert.match(output, /1 thing was left behind/);
      assert.match(output, /goroutine \d+ \[forgotten\]\s+waits for chan send since/);
      assert.match(output, /leaks\.mjs:17:\d+/);
      assert.match(output, /[✓✔] .*a tidy one/);
      assert.match(output, /[×✕✖] .*a leaking one/);
    });
  }
});
