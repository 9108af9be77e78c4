/** line.ts: one line of the screen: pieces of text with a style each, clipped to a width. */

export type Style = "plain" | "bold" | "dim" | "accent" | "good" | "warn";

const CODES: Readonly<Record<Style, string>> = {
  plain: "",
  bold: "1",
  dim: "2",
  accent: "36",
  good: "32",
  warn: "33",
};

/** Text is taken to be one column per character: what comes from elsewhere passes printable(). */
export class Line {
  private readonly pieces: [text: string, style: Style][] = [];
  private length = 0;

  add(text: string, style: Style = "plain"): this {
    this.pieces.push([text, style]);
    this.length += text.length;
    return this;
  }

  /** Goes on at a column, at the latest: what is there already is not cut. */
  to(column: number): this {
    return this.add(" ".repeat(Math.max(column - this.length, 0)));
  }

  /** Puts a text at the right edge, or leaves it out where it does not fit. */
  right(text: string, width: number, style: Style = "plain"): this {
    if (this.length + text.length + 2 > width) return this;
    return this.to(width - text.length).add(text, style);
  }

  render(width: number, colours: boolean): string {
    let left = width;
    let out = "";
    for (const [text, style] of this.pieces) {
      const shown = text.slice(0, left);
      left -= shown.length;
      const code = CODES[style];
      out += colours && code !== "" && shown.trim() !== "" ? `\x1b[${code}m${shown}\x1b[0m` : shown;
    }
    return out.trimEnd();
  }
}
