/** on.test.ts: coronet/race switches the detector on for a whole program; CORONET_RACE says how it ends. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";

const folder = mkdtempSync(join(tmpdir(), "coronet-race-"));
after(() => rmSync(folder, { recursive: true }));

const detector = new URL("./on.js", import.meta.url).href;
const library = new URL("../../index.js", import.meta.url).href;

function run(
  body: string,
  mode: string | undefined,
  ...flags: string[]
): { status: number | null; stdout: string; stderr: string } {
  const file = join(folder, "program.mjs");
  writeFileSync(file, `import { go, shared, sleep } from ${JSON.stringify(library)};\n${body}`);
  const { CORONET_RACE: _, ...rest } = process.env;
  const env = mode === undefined ? rest : { ...rest, CORONET_RACE: mode };
  return spawnSync(process.execPath, [...flags, file], { env, encoding: "utf8" });
}

const RACY = `
const c = shared({ n: 0 });
const add = async () => { const { n } = c; await sleep(1); c.n = n + 1; };
await Promise.all([go(add).join(), go(add).join()]);
console.log("went on");
`;

describe("node --import coronet/race", () => {
  test("prints races, lets the program go on, and ends with status 66", () => {
    const { status, stdout, stderr } = run(RACY, undefined, "--import", detector);
    assert.equal(status, 66, stderr);
    assert.match(stdout, /went on/);
    assert.match(stderr, /WARNING: RACE on object\.n, shared at .*program\.mjs:3:\d+/);
    assert.match(stderr, /Write by goroutine \d+:\n {2}add \(.*program\.mjs:4:\d+\)/);
    assert.match(stderr, /Goroutine \d+ \[add\] was started at\n {2}.*program\.mjs:5:\d+/);
    assert.match(stderr, /Found \d race\(s\)/);
  });

  test("says nothing of a program without one, and does nothing without it", () => {
    const fine = run('shared({ n: 0 }).n++; console.log("fine");', undefined, "--import", detector);
    assert.deepEqual([fine.status, fine.stdout, fine.stderr], [0, "fine\n", ""]);
    const off = run(RACY, undefined);
    assert.deepEqual([off.status, off.stderr], [0, ""]);
  });

  for (const [mode, status, out, err] of [
    ["warn", 0, /went on/, /WARNING: RACE/],
    ["exit", 66, /^$/, /WARNING: RACE/],
    ["throw", 1, /^$/, /RaceError: race on object\.n/],
    ["loudly", 1, /^$/, /CORONET_RACE is one of/],
  ] as const) {
    test(`CORONET_RACE=${mode} ends with status ${status}`, () => {
      const ended = run(RACY, mode, "--import", detector);
      assert.equal(ended.status, status, ended.stderr);
      assert.match(ended.stdout, out);
      assert.match(ended.stderr, err);
    });
  }

  test("a status of the program's own stays", () => {
    assert.equal(run(`${RACY}process.exitCode = 3;`, undefined, "--import", detector).status, 3);
  });
});
