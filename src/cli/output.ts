/** output.ts: standard output and standard error of the command. */

/** Prints a line. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Whoever read our output may be gone (`coronet echo … | head -1`): that ends nothing. */
export function ignoreClosedOutput(): void {
  process.stdout.on("error", () => {});
  process.stderr.on("error", () => {});
}

/** Text from elsewhere, safe to show on a terminal: control characters become "?". */
export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e\u00a0-\uffff]/g, "?");
}
