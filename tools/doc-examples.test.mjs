// A test for each example of the documentation: it compiles, and it runs. See doc-examples.mjs.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, describe } from "node:test";
import {
  CONCURRENCY,
  collectExamples,
  compileExamples,
  lockExamples,
  placeOf,
  runExample,
} from "./doc-examples.mjs";

test("examples are found in pages and docstrings, with the line they stand on", () => {
  const tree = mkdtempSync(join(tmpdir(), "coronet-docs-"));
  try {
    mkdirSync(join(tree, "docs/more"), { recursive: true });
    mkdirSync(join(tree, "src"));
    writeFileSync(join(tree, "README.md"), "# A\n\n```ts\none;\n```\n\n```sh\nls\n```\n");
    writeFileSync(
      join(tree, "docs/more/b.md"),
      [
        "- item",
        "  ```ts exit=2",
        "  two;",
        "    three;",
        "  ```",
        "````md",
        "```ts",
        "not an example",
        "```",
        "````",
        "```ts no-run: needs a server",
        "four;",
        "```",
        "```ts no-run",
        "```",
        "```ts nonsense",
        "```",
      ].join("\n"),
    );
    writeFileSync(
      join(tree, "src/x.ts"),
      [
        "/** No example. */",
        "/**",
        " * Text.",
        " * @example",
        " * five;",
        " * @param a - something",
        " * @example",
        " * Words.",
        " * ```ts",
        " * six;",
        " * ```",
        " */",
      ].join("\n"),
    );
    const found = collectExamples(tree).map((example) => [
      placeOf(example),
      example.code.trim(),
      example.problem ?? `${example.use} ${example.exit}`,
    ]);
    assert.deepEqual(found, [
      ["README.md:4", "one;", "run 0"],
      ["docs/more/b.md:3", "two;\n  three;", "run 2"],
      ["docs/more/b.md:12", "four;", "check 0"],
      ["docs/more/b.md:15", "", "no-run needs a reason"],
      ["docs/more/b.md:17", "", "not understood: nonsense"],
      ["src/x.ts:5", "five;", "run 0"],
      ["src/x.ts:10", "six;", "run 0"],
    ]);
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
});

const examples = collectExamples();
const release = await lockExamples();
after(release);
const complaints = await compileExamples(examples);

describe("examples of the documentation", { concurrency: CONCURRENCY }, () => {
  for (const example of examples) {
    test(placeOf(example), async () => {
      const wrong =
        example.problem ??
        complaints.get(example)?.join("\n") ??
        (example.use === "run" ? await runExample(example) : undefined);
      if (wrong !== undefined) assert.fail(wrong);
    });
  }
});
