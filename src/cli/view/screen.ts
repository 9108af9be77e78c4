/**
 * screen.ts: the terminal while a program has all of it: the alternate screen, the keyboard, and the
 * way back from every end of the program.
 *
 * Only lines that changed are written, within one synchronized update, so nothing flickers. What was
 * on the terminal before is there again after leave(), which an exit, an uncaught error and a panic
 * call as well.
 */
import { writeSync } from "node:fs";
import { onPanic, type PanicHandler } from "../../index.ts";
import type { Size } from "./frame.ts";

const ESC = "\x1b[";
/** Alternate screen, cursor hidden, long lines cut. */
const ENTER = `${ESC}?1049h${ESC}?25l${ESC}?7l${ESC}2J`;
const LEAVE = `${ESC}0m${ESC}?7h${ESC}?25h${ESC}?1049l`;
/** Terminals that do not know synchronized updates ignore these. */
const BEGIN_UPDATE = `${ESC}?2026h`;
const END_UPDATE = `${ESC}?2026l`;

/** How long a stop by Ctrl-Z may take to reach this process. */
const SUSPEND_MS = 100;

export class Screen implements Disposable {
  /** What was pressed: one character, or an escape sequence. */
  onKey: (key: string) => void = () => {};
  /** The size has changed, or the screen was taken again. */
  onChange: () => void = () => {};
  private readonly out = process.stdout;
  private readonly keyboard = process.stdin.isTTY ? process.stdin : undefined;
  private lines: string[] = [];
  private active = false;
  /** The terminal has hung up. */
  private gone = false;
  private resuming: NodeJS.Timeout | undefined;
  private panicBefore: PanicHandler | undefined;

  get hasKeys(): boolean {
    return this.keyboard !== undefined;
  }

  get size(): Size {
    // A terminal that does not know its size says 0.
    return { width: this.out.columns || 80, height: this.out.rows || 24 };
  }

  /** Takes the terminal. */
  open(): void {
    this.panicBefore = onPanic(this.panicked);
    process.on("exit", this.leave);
    process.on("uncaughtExceptionMonitor", this.leave);
    process.on("SIGCONT", this.enter);
    this.out.on("resize", this.redraw);
    this.keyboard?.on("data", this.pressed).on("error", this.leave);
    this.enter();
  }

  /** Gives the terminal back. */
  [Symbol.dispose](): void {
    clearTimeout(this.resuming);
    this.leave();
    this.keyboard?.off("data", this.pressed);
    this.out.off("resize", this.redraw);
    process.off("SIGCONT", this.enter);
    process.off("uncaughtExceptionMonitor", this.leave);
    process.off("exit", this.leave);
    onPanic(this.panicBefore);
    if (this.gone) endByHangup();
  }

  /** Shows the lines; writes those that differ from what is shown. */
  draw(lines: readonly string[]): void {
    if (!this.active) return;
    let update = "";
    for (const [i, line] of lines.entries()) {
      if (line !== this.lines[i]) update += `${ESC}${i + 1};1H${ESC}K${line}`;
    }
    this.lines = [...lines];
    if (update !== "") this.out.write(`${BEGIN_UPDATE}${update}${END_UPDATE}`);
  }

  /** After a stop from outside the terminal may be in any state: all of it is set again. */
  private readonly enter = (): void => {
    this.active = true;
    this.keyboard?.setRawMode(false).setRawMode(true).resume();
    this.out.write(ENTER);
    this.redraw();
  };

  private readonly leave = (): void => {
    if (!this.active) return;
    this.active = false;
    try {
      writeSync(this.out.fd, LEAVE);
    } catch {
      this.gone = true;
    }
    this.keyboard?.setRawMode(false).pause();
  };

  private readonly redraw = (): void => {
    if (!this.active) return;
    this.lines = [];
    this.out.write(`${ESC}2J`);
    this.onChange();
  };

  private readonly pressed = (data: Buffer): void => {
    const text = data.toString("latin1");
    if (text.startsWith("\x1b")) this.onKey(text);
    else for (const key of text) this.key(key);
  };

  private key(key: string): void {
    if (key === "\x1a") this.suspend();
    else if (key === "\x0c") this.redraw();
    else this.onKey(key);
  }

  /** Ctrl-Z, which the terminal does not handle while it passes every key on. */
  private suspend(): void {
    this.leave();
    process.kill(0, "SIGTSTP");
    // Where no shell can resume us the signal is ignored, and the screen comes back at once.
    this.resuming = setTimeout(this.enter, SUSPEND_MS);
  }

  /** A panic is reported where it can be read. */
  private readonly panicked: PanicHandler = (error, goroutine) => {
    this.leave();
    const what = error instanceof Error ? (error.stack ?? String(error)) : String(error);
    const where = goroutine.origin ?? "a place not recorded";
    process.stderr.write(
      `panic: ${what}\n\ngoroutine ${goroutine.id} [${goroutine.name}]\nstarted at ${where}\n`,
    );
    process.exit(2);
  };
}

/** Node aborts when it cannot restore a terminal that is gone: the process ends as others do then. */
function endByHangup(): void {
  process.removeAllListeners("SIGHUP");
  process.kill(process.pid, "SIGHUP");
}
