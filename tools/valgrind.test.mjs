// Tests of which of memcheck's errors are held against the addon.

import assert from "node:assert/strict";
import test from "node:test";
import { errorsOfAddon } from "./valgrind.mjs";

/** @param {string} object @param {string} name */
const frame = (object, name) => `<frame><ip>0x1</ip><obj>${object}</obj><fn>${name}</fn></frame>`;
const MEMCHECK = frame("/usr/libexec/valgrind/vgpreload_memcheck-amd64-linux.so", "malloc");
const NODE = frame("/usr/bin/node", "v8::Call&lt;int&gt;");
const ADDON = frame("/x/build/coronet.node", "js_read");

/** @param {string} kind @param {string[]} frames */
const error = (kind, ...frames) =>
  `<error><kind>${kind}</kind><what>What</what><stack>${frames.join("")}</stack></error>`;

test("errors with the addon anywhere in a stack count, others do not", () => {
  assert.deepEqual(errorsOfAddon(error("InvalidWrite", NODE)), []);
  assert.deepEqual(errorsOfAddon(error("InvalidWrite", MEMCHECK, ADDON, NODE)), [
    "What\n    malloc (vgpreload_memcheck-amd64-linux.so)\n    js_read (coronet.node)\n    v8::Call<int> (node)",
  ]);
});

test("leaks count when the addon allocated the memory itself", () => {
  assert.equal(errorsOfAddon(error("Leak_DefinitelyLost", MEMCHECK, ADDON, NODE)).length, 1);
  assert.equal(errorsOfAddon(error("Leak_DefinitelyLost", MEMCHECK, NODE, ADDON)).length, 0);
  assert.equal(errorsOfAddon(error("Leak_DefinitelyLost", MEMCHECK, NODE)).length, 0);
});
