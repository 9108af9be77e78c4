// Runs the tests that reach the native addon with it built under AddressSanitizer and UBSan.
//
//   node tools/asan.mjs             the tests listed below
//   node tools/asan.mjs syscall     only files whose path contains one of the words
//
// Node itself is not instrumented, so the sanitizer's runtime is put before everything else by LD_PRELOAD;
// it then also watches the memory behind ArrayBuffers, which Node allocates with malloc. Any report fails
// the run, also that of a child process whose output nobody read. dist/ has to be current.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { buildNative } from "./build-native.mjs";
import { root, run, shown } from "./lib/tree.mjs";
import { runTests, testFiles } from "./test.mjs";

/** Which tests reach the addon; later patterns that begin with "!" take files out again. */
const TESTS = [
  "dist/src/syscall/",
  "dist/src/runtime/",
  "dist/src/poll/",
  "dist/src/net/",
  "dist/src/shared/",
  "dist/src/tls/",
  "dist/test/",
  // It installs the package anew, and so tests another build of the addon.
  "!dist/test/packaging",
  // These run without the addon.
  "!dist/src/net/portable_",
  "!dist/test/portable_",
  // These never leave JavaScript, or drive whole programs that other tests reach as well.
  "!dist/test/chan_",
  "!dist/test/fake_kernel",
  "!dist/test/sixteen_cases",
  "!dist/test/deadlock",
  "!dist/test/cli",
  "!dist/test/hot_restart",
  "!dist/test/http",
  "!dist/test/server",
  "!dist/test/fetch",
  "!dist/test/reverse_proxy",
  "!dist/test/gateway",
  "!dist/test/websocket",
  "!dist/test/events",
  "!dist/test/frameworks",
  "!dist/test/serve_node",
  "!dist/test/hono",
  "!dist/test/debug",
  "!dist/test/diagnostics",
  "!dist/test/happens_before",
  "!dist/test/inspector",
  "!dist/test/leak_runners",
  "!dist/test/metrics",
  "!dist/test/opentelemetry",
  "!dist/test/async_context",
  "!dist/test/top",
  "!dist/test/tls_scan",
  "!dist/test/tls_programs",
];

/** The instrumented code is slower, and the machine may be busy. */
const TIMEOUT_MS = 300_000;

const reports = join(root, "build/asan/reports");

const OPTIONS = {
  ASAN_OPTIONS: [
    // Node leaves much to the end of the process, on purpose: its leaks say nothing about the addon.
    "detect_leaks=0",
    "halt_on_error=1",
    "detect_stack_use_after_return=1",
    `log_path=${reports}/asan`,
  ].join(":"),
  UBSAN_OPTIONS: `print_stacktrace=1:halt_on_error=1:log_path=${reports}/ubsan`,
};

/** Where the compiler keeps the runtime of its AddressSanitizer. */
function runtimeLibrary() {
  const [command, ...args] = (process.env.CC || "cc").trim().split(/\s+/);
  const asked = spawnSync(command, [...args, "-print-file-name=libasan.so"], { encoding: "utf8" });
  const path = asked.stdout?.trim() ?? "";
  // A compiler that has no such file answers with its bare name.
  return path.includes("/") && existsSync(path) ? path : undefined;
}

/** @param {readonly string[]} words */
async function main(words) {
  const library = runtimeLibrary();
  if (!library) {
    console.log(`asan: skipped: ${process.env.CC || "cc"} has no libasan.so here (gcc brings it)`);
    return 0;
  }
  const built = buildNative({ root, sanitize: "address" });
  if (built.status === "unavailable") {
    console.log(`asan: skipped: ${built.message}`);
    return 0;
  }
  if (built.status === "failed") {
    console.error(`asan: ${built.message}`);
    return 1;
  }
  const wanted = TESTS.filter((pattern) => !pattern.startsWith("!"));
  const unwanted = TESTS.filter((pattern) => pattern.startsWith("!")).map((text) => text.slice(1));
  const files = testFiles(words).filter(
    (file) =>
      wanted.some((pattern) => file.startsWith(pattern)) &&
      !unwanted.some((pattern) => file.startsWith(pattern)),
  );
  if (files.length === 0) {
    console.error(`asan: no test file matches ${words.join(", ") || "the list in this file"}`);
    return 1;
  }
  const env = { ...process.env, ...OPTIONS, LD_PRELOAD: library, CORONET_NATIVE: built.output };
  // Should the runtime not fit this Node, that is no finding about the addon.
  const starts = await run(process.execPath, ["-e", `require(${JSON.stringify(built.output)})`], {
    env,
  });
  if (starts.code !== 0) {
    console.error(`asan: the instrumented addon does not load:\n${starts.stderr.trim()}`);
    return 1;
  }
  rmSync(reports, { recursive: true, force: true });
  mkdirSync(reports, { recursive: true });
  const status = await runTests(files, { env, timeoutMs: TIMEOUT_MS });
  const found = readdirSync(reports).map((name) => join(reports, name));
  for (const path of found) console.error(`asan: ${shown(path)}\n${readFileSync(path, "utf8")}`);
  console.log(`asan: ${files.length} test files, ${found.length} reports`);
  return found.length > 0 ? 1 : status;
}

process.exitCode = await main(process.argv.slice(2));
