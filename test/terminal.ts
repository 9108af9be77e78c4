/**
 * terminal.ts: a terminal of its own for a command: one of util-linux's `script`, which shows the bytes as
 * they are.
 */
import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import type { TestContext } from "node:test";

export const ENTER = "\x1b[?1049h";
const LEAVE = "\x1b[?1049l";

/** What a command prints; "" where it is not installed. */
export function answer(command: string, ...args: string[]): string {
  const { stdout, error } = spawnSync(command, args, { encoding: "utf8" });
  return error === undefined ? stdout : "";
}

/** Why there is no terminal here. */
export const noScript =
  !answer("script", "--version").includes("util-linux") && "no script of util-linux";

/** What a person at a terminal has, wherever the tests run: `CI`, for one, turns Node's colours off. */
export function environment(extra: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { PATH, HOME } = process.env;
  return { PATH, HOME, SHELL: "/bin/sh", LANG: "C.UTF-8", TERM: "xterm-256color", ...extra };
}

/** A shell command on a terminal of its own, 100 by 30, followed by its status and the terminal's. */
export class Terminal {
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
