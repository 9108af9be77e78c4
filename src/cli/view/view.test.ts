// The demo on a terminal: what it draws, that it gives the terminal back, and that q ends it.
//
// The terminal is one of util-linux's `script`, which shows the bytes as they are, or of tmux, which
// shows what a person would see.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { answer, ENTER, environment, noScript, Terminal } from "../../../test/terminal.ts";

const main = resolve(import.meta.dirname, "../main.js");
const demo = `'${process.execPath}' '${main}' demo --listen 127.0.0.1:0 --stats 127.0.0.1:0`;
const noTmux = answer("tmux", "-V") === "" && "tmux is not installed";

describe("the view on a terminal", { skip: noScript, concurrency: 2, timeout: 60_000 }, () => {
  test("draws, and q gives the terminal back with status 0", async (t) => {
    const terminal = new Terminal(t, demo);
    await terminal.shows(/Try it in another terminal:[\s\S]*nc 127\.0\.0\.1 \d+[\s\S]*quits/);
    terminal.press("q");
    const rest = await terminal.after();
    assert.match(rest, /coronet demo: stopped after .*: 0 connections/);
    assert.match(rest, /status=0/);
    assert.ok(terminal.output.includes("\x1b[36m"), "in colours");
  });

  test("Ctrl-C quits as well", async (t) => {
    const terminal = new Terminal(t, demo);
    await terminal.shows(/quits/);
    terminal.press("\x03");
    assert.match(await terminal.after(), /status=0/);
  });

  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    test(`${signal} gives the terminal back too`, async (t) => {
      const terminal = new Terminal(t, `sh -c "echo pid=\\$\\$; exec ${demo}"`);
      await terminal.shows(/quits/);
      process.kill(Number(/pid=(\d+)/.exec(terminal.output)?.[1]), signal);
      assert.match(await terminal.after(), /status=0/);
    });
  }

  test("NO_COLOR is respected", async (t) => {
    const terminal = new Terminal(t, demo, { NO_COLOR: "1" });
    await terminal.shows(/quits/);
    terminal.press("q");
    assert.match(await terminal.after(), /status=0/);
    const sequences = terminal.output.split("\x1b[");
    assert.deepEqual(
      sequences.filter((sequence) => /^[1-9]\d*m/.test(sequence)),
      [],
    );
  });

  test("a terminal that cannot be drawn on gets plain lines", async (t) => {
    for (const [command, env] of [
      [demo, { TERM: "dumb" }],
      [`${demo} --no-view`, {}],
    ] as const) {
      const terminal = new Terminal(t, command, env);
      await terminal.shows(/try it: printf hi/);
      terminal.press("\x03");
      await terminal.closed;
      assert.match(terminal.output, /status=0/);
      assert.ok(!terminal.output.includes(ENTER));
    }
  });

  for (const [what, code, status] of [
    ["a panic", `go(async () => { throw new Error("boom"); });`, 2],
    ["an error that nobody catches", `setImmediate(() => { throw new Error("boom"); });`, 1],
  ] as const) {
    test(`after ${what} the terminal is given back, and the report can be read`, async (t) => {
      const urls = ["screen.js", "../../index.js"].map((file) =>
        pathToFileURL(resolve(import.meta.dirname, file)),
      );
      const program = `
        import { Screen } from "${urls[0]}";
        import { go } from "${urls[1]}";
        const screen = new Screen();
        screen.open();
        screen.draw(["drawn"]);
        ${code}`;
      const terminal = new Terminal(t, `'${process.execPath}' --input-type=module -e "$CODE"`, {
        CODE: program,
      });
      const rest = await terminal.after();
      assert.match(rest, /Error: boom/);
      assert.match(rest, new RegExp(`status=${status}`));
    });
  }
});

/** A demo in a tmux server of its own. */
class Tmux {
  private readonly name = `coronet-${process.pid}-${Date.now()}`;

  constructor(t: TestContext) {
    t.after(() => this.run("kill-server"));
    this.run("new-session", "-d", "-x", "100", "-y", "30", `${demo}; echo "status=$?"; read _`);
  }

  run(...args: string[]): string {
    const all = ["-u", "-L", this.name, "-f", "/dev/null", ...args];
    const env = environment({});
    return spawnSync("tmux", all, { encoding: "utf8", env }).stdout ?? "";
  }

  /** The lines of the screen, once they are as wanted. */
  async until(wanted: (lines: string[]) => boolean): Promise<string[]> {
    for (;;) {
      const lines = this.run("capture-pane", "-p").split("\n");
      if (wanted(lines)) return lines;
      // tmux has no way to tell of a change.
      await pause(50);
    }
  }
}

describe("the view as a person sees it", { skip: noTmux, timeout: 60_000 }, () => {
  test("fits the terminal, follows its size, and is gone after q", async (t) => {
    const tmux = new Tmux(t);
    const first = await tmux.until((lines) => lines[29]?.startsWith(" q quits") === true);
    assert.match(first[0] ?? "", /^ coronet demo/);
    assert.match(first.join("\n"), /nc 127\.0\.0\.1 \d+ +type a line/);
    assert.match(first.join("\n"), /nobody is connected/);
    tmux.run("resize-window", "-x", "60", "-y", "20");
    await tmux.until((lines) => lines[19]?.startsWith(" q quits") === true);
    tmux.run("send-keys", "q");
    const last = await tmux.until((lines) => lines.some((line) => line === "status=0"));
    assert.ok(!last.some((line) => line.includes("q quits")), last.join("\n"));
  });
});
