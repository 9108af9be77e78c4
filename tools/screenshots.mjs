// The inspector's pictures in docs/images/, taken anew: by the tests of its page, in Chromium.
//
//   node tools/screenshots.mjs
//
// ImageMagick makes them smaller where it is installed.

import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { root } from "./lib/tree.mjs";

const PICTURES = {
  "overview-dark.png": "inspector-overview.png",
  "goroutine-dark.png": "inspector-goroutine.png",
  "connections-light.png": "inspector-connections.png",
  "poller-light.png": "inspector-poller.png",
  "objects-dark.png": "inspector-locks.png",
  "trace-dark.png": "inspector-trace.png",
};

const inherit = { cwd: root, stdio: /** @type {const} */ ("inherit") };
spawnSync(process.execPath, ["tools/setup.mjs"], inherit);
const test = "dist/test/inspector_page.test.js";
const taken = spawnSync(
  process.execPath,
  ["--test", "--test-name-pattern=every view|by keys", test],
  inherit,
);
if (taken.status !== 0) throw new Error("the tests that take the pictures failed");
mkdirSync(join(root, "docs/images"), { recursive: true });
for (const [from, to] of Object.entries(PICTURES)) {
  const source = join(root, "coverage/inspector", from);
  const target = join(root, "docs/images", to);
  const small = spawnSync("convert", [source, "-strip", "-colors", "96", `PNG8:${target}`]);
  if (small.status !== 0) copyFileSync(source, target);
}
