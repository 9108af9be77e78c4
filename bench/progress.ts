// Says what is being measured: one line per finished measurement and, on a terminal, a last line
// that counts the seconds.
import { stdout } from "node:process";

const CLEAR = "\r\x1b[K";

function clock(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

export class Progress {
  readonly #total: number;
  readonly #began = performance.now();
  #done = 0;
  #current = "";
  #ticking: NodeJS.Timeout | undefined;

  constructor(total: number) {
    this.#total = total;
  }

  begin(what: string): void {
    this.#current = what;
    if (!stdout.isTTY) return;
    this.#draw();
    this.#ticking = setInterval(() => this.#draw(), 1000);
  }

  end(what: string): void {
    clearInterval(this.#ticking);
    this.#done++;
    this.say(`${this.#position(this.#done)} ${what}`);
  }

  /** A line of its own. */
  say(line: string): void {
    stdout.write(`${stdout.isTTY ? CLEAR : ""}${line}\n`);
  }

  #position(index: number): string {
    const total = String(this.#total);
    return `[${String(index).padStart(total.length)}/${total}]`;
  }

  #draw(): void {
    const elapsed = performance.now() - this.#began;
    const left = this.#done > 0 ? (elapsed / this.#done) * (this.#total - this.#done) : undefined;
    const estimate = left === undefined ? "" : `, about ${clock(left)} left`;
    const line = `${this.#position(this.#done + 1)} ${this.#current} … ${clock(elapsed)}${estimate}`;
    stdout.write(`${CLEAR}${line.slice(0, (stdout.columns || 80) - 1)}`);
  }
}
