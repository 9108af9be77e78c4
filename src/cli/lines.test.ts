import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { go, pipe } from "../index.ts";
import { lines, TOO_LONG } from "./lines.ts";

async function linesOf(...chunks: (string | Uint8Array)[]): Promise<unknown[]> {
  const [ours, theirs] = pipe();
  go(async () => {
    for (const chunk of chunks) await theirs.write(chunk);
    await theirs.closeWrite();
  });
  const all: unknown[] = [];
  for await (const line of lines(ours, 8)) all.push(line);
  return all;
}

describe("lines of a connection", () => {
  test("end with LF or CR LF, wherever the chunks are cut", async () => {
    assert.deepEqual(await linesOf("ti", "me\r", "\nsta", "ts\n\nhelp\n"), [
      "time",
      "stats",
      "",
      "help",
    ]);
  });

  test("the last one needs no end", async () => {
    assert.deepEqual(await linesOf("time"), ["time"]);
    assert.deepEqual(await linesOf("time\n"), ["time"]);
    assert.deepEqual(await linesOf(), []);
  });

  test("one that is too long is reported once and the next is read again", async () => {
    const long = "x".repeat(1000);
    assert.deepEqual(await linesOf(long, long, `${long}\ntime\n`), [TOO_LONG, "time"]);
    assert.deepEqual(await linesOf(long, long), [TOO_LONG]);
    assert.deepEqual(await linesOf("123456789\n12345678\n"), [TOO_LONG, "12345678"]);
  });

  test("what telnet says of its own is left out", async () => {
    const interrupt = Uint8Array.of(0xff, 0xf4, 0xff, 0xfd, 0x06);
    assert.deepEqual(await linesOf(interrupt, " time \r\n"), ["time"]);
  });
});
