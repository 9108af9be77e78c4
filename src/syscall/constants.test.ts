/** constants.test.ts: the numbers of the ABI are those of this machine's headers. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import * as constants from "./constants.ts";

const HEADERS = [
  "sys/types.h",
  "sys/socket.h",
  "sys/epoll.h",
  "netinet/in.h",
  "netinet/tcp.h",
  "sys/un.h",
];

/** Why they cannot be compared here. */
function unavailable(): string | false {
  if (process.platform !== "linux") return "the numbers are Linux's";
  const source = HEADERS.map((header) => `#include <${header}>\n`).join("");
  const { status } = spawnSync("cc", ["-x", "c", "-E", "-"], { input: source });
  return status === 0 ? false : "no C compiler with the system's headers here";
}

test("every constant has the value of the system's headers", { skip: unavailable() }, () => {
  const names = Object.keys(constants);
  assert.ok(names.length > 30);
  const folder = mkdtempSync(join(tmpdir(), "coronet-constants-"));
  try {
    const program = join(folder, "print");
    const lines = names.map((name) => `  printf("%d\\n", (int)${name});\n`).join("");
    const includes = ["stdio.h", ...HEADERS].map((header) => `#include <${header}>\n`).join("");
    writeFileSync(`${program}.c`, `#define _GNU_SOURCE\n${includes}int main(void) {\n${lines}}\n`);
    const compiled = spawnSync("cc", ["-o", program, `${program}.c`], { encoding: "utf8" });
    assert.equal(compiled.status, 0, compiled.stderr);
    const { stdout } = spawnSync(program, [], { encoding: "utf8" });
    const values = stdout.trim().split("\n").map(Number);
    const expected = Object.entries(constants);
    assert.deepEqual(
      names.map((name, i) => [name, values[i]]),
      expected,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
