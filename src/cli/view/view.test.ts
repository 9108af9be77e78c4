// The demo on a terminal: what it draws, that it gives the terminal back, and that q ends it.
//
// The terminal is one of util-linux's `script`, which shows the bytes as they are, or of tmux, which
// shows what a person would see.

import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { pathToFileURL } from "node:url";

const main = resolve(import.meta.dirname, "../main.js");
const demo = `'${process.execPath}' '${main}' demo --listen 127.0.0.1:0 --stats 127.0.0.1:0`;
const ENTER = "\x1b[?1049h";
const LEAVE = "\x1b[?1049l";

function answer(command: string, ...args: string[]): string {
  const { stdout, error } = spawnSync(command, args, { encoding: "utf8" });
  return error === undefined ? stdout : "";
}

const noScript = !answer("script", "--version").includes("util-linux") && "no script of util-linux";
const noTmux = answer("tmux", "-V") === "" && "tmux is not installed";

/** What a person at a terminal has, wherever the tests run: `CI`, for one, turns Node's colours off. */
function environment(extra: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { PATH, HOME } = process.env;
  return { PATH, HOME, SHELL: "/bin/sh", LANG: "C.UTF-8", TERM: "xterm-256color", ...extra };
}

/** A shell command on a terminal of its own, 100 by 30, followed by its status and the terminal's. */
class Terminal {
  readonly child: ChildProcessWithoutNullStreams;
  readonly closed: Promise<void>;
  output = "";
  private waiting: (() => void) | undefined;

  constructor(t: TestContext, command: string, env: NodeJS.ProcessEnv = {}) {
    // Ctrl-C reaches the shell as well: without a trap dash would end before it says the status.
    const line = `trap : INT; stty rows 30 cols 100; ${command}; echo "status=$?"; stty -a`;
    this.child = spawn("script", ["-q", "-e", "-c", line, "/dev/null"], { env: environment(env) });
    this.child.stdin.on("error", () => {});
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        this.output += text;
        this.waiting?.();
      });
    }
    this.closed = new Promise((settle) => this.child.on("close", () => settle()));
    t.after(() => this.child.kill("SIGKILL"));
  }

  async shows(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.output)) {
      assert.equal(this.child.exitCode, null, `it has ended and showed\n${this.output}`);
      await new Promise<void>((wake) => {
        this.waiting = wake;
      });
    }
  }

  press(keys: string): void {
    this.child.stdin.write(keys);
  }

  /** Waits for the end; what stands in the output after the terminal was given back. */
  async after(): Promise<string> {
    await this.closed;
    const entered = this.output.indexOf(ENTER);
    const left = this.output.lastIndexOf(LEAVE);
    assert.ok(entered !== -1 && left > entered, `it took the terminal and left it\n${this.output}`);
    const rest = this.output.slice(left);
    assert.ok(this.output.lastIndexOf("\x1b[?25l") > entered, "the cursor was hidden");
    const shown = this.output.lastIndexOf("\x1b[?25h");
    assert.ok(shown > this.output.lastIndexOf("\x1b[?25l"), "the cursor is shown again");
    // Lines are edited again, keys are echoed again, Ctrl-C is a signal again.
    for (const mode of ["icanon", "echo", "isig"]) {
      assert.match(rest, new RegExp(`(?<!-)\\b${mode}\\b`));
    }
    return rest;
  }
}

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
