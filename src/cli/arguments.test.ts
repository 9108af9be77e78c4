import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseArguments, type Syntax, UsageError } from "./arguments.ts";

const syntax: Syntax = {
  name: "brew",
  options: {
    listen: { type: "string" },
    wait: { type: "string" },
    "no-milk": { type: "boolean" },
  },
  positionals: ["CUP"],
};

const parse = (...args: string[]) => parseArguments(syntax, args);

function complaint(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof UsageError, String(error));
    return error.message;
  }
  throw new assert.AssertionError({ message: "nothing was wrong" });
}

describe("arguments", () => {
  test("options and positionals are taken in any order", () => {
    const args = parse("--no-milk", "big", "--listen", ":1", "--wait=2.5");
    assert.deepEqual(args.positionals, ["big"]);
    assert.equal(args.text("listen"), ":1");
    assert.equal(args.flag("no-milk"), true);
    assert.equal(args.seconds("wait", 9), 2500);
  });

  test("an option that is absent has its fallback", () => {
    const args = parse("big");
    assert.equal(args.text("listen"), undefined);
    assert.equal(args.flag("no-milk"), false);
    assert.equal(args.seconds("wait", 9), 9000);
    assert.equal(args.milliseconds("wait"), undefined);
  });

  test("the last of two equal options counts", () => {
    assert.equal(parse("big", "--listen", ":1", "--listen", ":2").text("listen"), ":2");
  });

  test("--help is believed before anything is checked", () => {
    assert.equal(parse("--help").help, true);
    assert.equal(parse("-h", "too", "many").help, true);
  });

  test("an unknown option is answered with the known ones", () => {
    const known = "known: --listen, --wait, --no-milk, --help";
    assert.equal(
      complaint(() => parse("--lisen", ":1")),
      `coronet brew: unknown option --lisen; ${known}`,
    );
    assert.match(
      complaint(() => parse("-l")),
      /unknown option -l;/,
    );
    assert.match(
      complaint(() => parse("--toString")),
      /unknown option --toString;/,
    );
  });

  test("a forgotten value is not filled by the next option", () => {
    assert.equal(
      complaint(() => parse("big", "--listen", "--no-milk")),
      "coronet brew: --listen needs a value",
    );
    assert.equal(
      complaint(() => parse("big", "--listen=")),
      "coronet brew: --listen needs a value",
    );
    assert.equal(
      complaint(() => parse("big", "--listen")),
      "coronet brew: --listen needs a value",
    );
  });

  test("a switch takes no value", () => {
    assert.equal(
      complaint(() => parse("big", "--no-milk=yes")),
      "coronet brew: --no-milk takes no value",
    );
  });

  test("missing and surplus positionals are named", () => {
    assert.match(
      complaint(() => parse()),
      /CUP is missing/,
    );
    assert.match(
      complaint(() => parse("big", "small")),
      /"small" is too much: it takes CUP/,
    );
  });

  test("a time must be a number within its range", () => {
    for (const text of ["x", "1e3", "0x10", "1.", "100000"]) {
      assert.match(
        complaint(() => parse("big", "--wait", text).seconds("wait", 1)),
        /--wait takes seconds from 0 to 86400, not/,
      );
    }
    assert.equal(parse("big", "--wait", "0").seconds("wait", 1), 0);
    assert.match(
      complaint(() => parse("big", "--wait", "0").milliseconds("wait")),
      /--wait takes milliseconds from 1 to/,
    );
  });

  test("a required option says how it is given", () => {
    assert.equal(
      complaint(() => parse("big").required("listen", ":2333")),
      "coronet brew: --listen is missing; for example --listen :2333",
    );
  });
});
