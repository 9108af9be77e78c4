// A small scanner of TypeScript: finds what a file imports, and where, without understanding the rest.
// It knows comments, strings, templates and regular expressions well enough not to be fooled by them.

/**
 * @typedef {object} Token
 * @property {"word" | "string" | "template" | "punct"} kind  templates give one token per stretch of text
 * @property {string} text
 * @property {number} line
 *
 * @typedef {object} Import
 * @property {string} specifier
 * @property {number} line
 */

/** After these a slash begins a regular expression; after any other word it divides. */
const BEFORE_REGEX = new Set(
  "return typeof case in of delete void throw new instanceof await yield else do".split(" "),
);

/**
 * @param {string} source
 * @returns {Token[]}
 */
export function tokenize(source) {
  /** @type {Token[]} */
  const tokens = [];
  /** How many braces are open in each template expression that we are inside of. */
  /** @type {number[]} */
  const templates = [];
  let at = 0;
  let line = 1;

  /** @param {Token["kind"]} kind @param {string} text @param {number} [where] */
  const push = (kind, text, where = line) => tokens.push({ kind, text, line: where });

  /** Moves to `end`, counting lines on the way. @param {number} end */
  const moveTo = (end) => {
    for (; at < end && at < source.length; at++) if (source[at] === "\n") line++;
    at = end;
  };

  /** Reads template text up to the closing backquote or to the next `${`. */
  const template = () => {
    const start = line;
    let text = "";
    while (at < source.length) {
      if (source[at] === "\\") {
        text += source.slice(at, at + 2);
        moveTo(at + 2);
      } else if (source[at] === "`") {
        moveTo(at + 1);
        break;
      } else if (source.startsWith("${", at)) {
        moveTo(at + 2);
        templates.push(0);
        break;
      } else {
        text += source[at];
        moveTo(at + 1);
      }
    }
    push("template", text, start);
  };

  if (source.startsWith("#!")) moveTo(source.indexOf("\n"));
  while (at < source.length) {
    const c = source[at];
    if (/\s/.test(c)) moveTo(at + 1);
    else if (source.startsWith("//", at)) moveTo(indexOrEnd(source, "\n", at));
    else if (source.startsWith("/*", at)) moveTo(indexOrEnd(source, "*/", at + 2) + 2);
    else if (c === '"' || c === "'") {
      const start = line;
      let end = at + 1;
      while (end < source.length && source[end] !== c && source[end] !== "\n") {
        end += source[end] === "\\" ? 2 : 1;
      }
      push("string", source.slice(at + 1, end), start);
      moveTo(end + 1);
    } else if (c === "`") {
      moveTo(at + 1);
      template();
    } else if (c === "/" && regexMayStart(tokens.at(-1))) moveTo(regexEnd(source, at));
    else if (/[\p{L}\p{N}_$#@]/u.test(c)) {
      const word = /[\p{L}\p{N}_$#@]+/uy;
      word.lastIndex = at;
      const text = /** @type {RegExpExecArray} */ (word.exec(source))[0];
      push("word", text);
      at += text.length;
    } else {
      if (templates.length > 0) {
        const last = templates.length - 1;
        if (c === "{") templates[last]++;
        if (c === "}" && templates[last]-- === 0) {
          templates.pop();
          moveTo(at + 1);
          template();
          continue;
        }
      }
      push("punct", c);
      at++;
    }
  }
  return tokens;
}

/** @param {string} source @param {string} wanted @param {number} from */
function indexOrEnd(source, wanted, from) {
  const found = source.indexOf(wanted, from);
  return found === -1 ? source.length : found;
}

/** @param {Token | undefined} before */
function regexMayStart(before) {
  if (!before) return true;
  if (before.kind === "word") return BEFORE_REGEX.has(before.text);
  return before.kind === "punct" && !")]}".includes(before.text);
}

/** @param {string} source @param {number} at where the opening slash stands */
function regexEnd(source, at) {
  let inClass = false;
  for (let i = at + 1; i < source.length && source[i] !== "\n"; i++) {
    const c = source[i];
    if (c === "\\") i++;
    else if (c === "[") inClass = true;
    else if (c === "]") inClass = false;
    else if (c === "/" && !inClass) return i + 1;
  }
  // No end on this line: it was a division after all.
  return at + 1;
}

/**
 * Every import of a file: `import … from`, `export … from`, `import "…"`, `import("…")` in values and in
 * types, `require("…")`.
 * @param {readonly Token[]} tokens
 * @returns {Import[]}
 */
export function importsOf(tokens) {
  /** @type {Import[]} */
  const imports = [];
  /** @param {number} at where the specifier should stand */
  const take = (at) => {
    const token = tokens[at];
    // A template with something in it says only at run time what it means.
    const whole = isPunct(tokens[at + 1], ")") || isPunct(tokens[at + 1], ",");
    if (token?.kind === "string" || (token?.kind === "template" && whole)) {
      imports.push({ specifier: token.text, line: token.line });
    }
  };
  tokens.forEach((token, i) => {
    if (token.kind !== "word" || isPunct(tokens[i - 1], ".")) return;
    const next = tokens[i + 1];
    if (token.text === "require" && isPunct(next, "(")) take(i + 2);
    else if (token.text === "import") {
      if (isPunct(next, "(")) take(i + 2);
      else if (next?.kind === "string") take(i + 1);
      else take(afterFrom(tokens, i + 1));
    } else if (token.text === "export") {
      const clause = next?.text === "type" ? i + 2 : i + 1;
      if (isPunct(tokens[clause], "{") || isPunct(tokens[clause], "*")) {
        take(afterFrom(tokens, clause));
      }
    }
  });
  return imports;
}

/**
 * Where the string after `from` stands, or -1, for the clause that begins at `start`.
 * @param {readonly Token[]} tokens
 * @param {number} start
 */
function afterFrom(tokens, start) {
  let depth = 0;
  for (let i = start; i < tokens.length; i++) {
    const token = tokens[i];
    const next = tokens[i + 1];
    if (token.text === "from" && token.kind === "word" && next?.kind === "string") return i + 1;
    if (isPunct(token, "{")) depth++;
    else if (isPunct(token, "}")) {
      depth--;
      if (depth === 0 && next?.text !== "from") return -1;
    } else if (depth === 0 && token.kind === "punct" && !",*".includes(token.text)) return -1;
  }
  return -1;
}

/** @param {Token | undefined} token @param {string} text */
function isPunct(token, text) {
  return token?.kind === "punct" && token.text === text;
}
