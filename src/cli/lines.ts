/** lines.ts: lines of text from a connection, for people who type them: nc, telnet. */
import type { Conn } from "../index.ts";

/** Stands for a line that was longer than allowed; it has been thrown away up to its end. */
export const TOO_LONG = Symbol("too long");

/**
 * The lines that arrive, ended by LF or CR LF; the last one needs no end. Bytes that are not printable
 * ASCII are left out, which takes care of telnet's own. At most `longest` bytes are kept of a line.
 */
export async function* lines(
  conn: Conn,
  longest: number,
): AsyncGenerator<string | typeof TOO_LONG, undefined> {
  let rest = "";
  let skipping = false;
  for await (const chunk of conn) {
    const parts = (rest + Buffer.from(chunk).toString("latin1")).split("\n");
    rest = parts.pop() as string;
    for (const part of parts) {
      if (skipping) skipping = false;
      else yield clean(part, longest);
    }
    if (rest.length <= longest + 1) continue;
    // One answer for the whole of it; what is still to come of it is not kept.
    if (!skipping) yield TOO_LONG;
    skipping = true;
    rest = "";
  }
  if (rest !== "" && !skipping) yield clean(rest, longest);
}

function clean(line: string, longest: number): string | typeof TOO_LONG {
  const text = line.replace(/[^\x20-\x7e\t]/g, "");
  return text.length > longest ? TOO_LONG : text.trim();
}
