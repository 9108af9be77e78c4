// What is known of a head changes what it costs and nothing else: whatever came before, the verdict on a
// head is the one that a parser has which never saw a part of it.
//
//   CORONET_SEED=n        repeats a run
//   CORONET_FUZZ=100000   how many pairs of heads; 1500 without it
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { numbers } from "../../testing/support.ts";
import { llhttp } from "./llhttp.ts";
import { giveParser, type ParserLimits, takeParser, valueAt } from "./parser.ts";

const seed = Number(process.env.CORONET_SEED) || Math.floor(Math.random() * 0x7fff_ffff);
const ROUNDS = Number(process.env.CORONET_FUZZ) || 1500;

const LIMITS: ParserLimits = { headerBytes: 400, headers: 6, url: 200, body: 1000 };
const NEXT = "GET /next HTTP/1.1\r\nHost: n\r\n\r\n";

/** How often llhttp was run, and over how many bytes. */
let runs = 0;
let ran = 0;
const lib = llhttp();
const run = lib.run.bind(lib);
lib.run = (machine, at, length, events) => {
  runs++;
  ran += length;
  return run(machine, at, length, events);
};

/** Everything that is found in bytes that come whole, or in two parts. */
function verdict(text: string, limits: ParserLimits, front = 0, cut = text.length): object {
  const parser = takeParser(limits);
  let used = 0;
  for (const part of [text.slice(0, cut), text.slice(cut)]) {
    if (part === "" || parser.headDone || parser.status !== 0) continue;
    // Behind so many bytes of others, as behind other requests.
    const chunk = Buffer.from("x".repeat(front) + part, "latin1");
    used += parser.parse(chunk, front) - front;
  }
  const { status, reason, headDone, done, method, target, version, host, expect } = parser;
  const { keepAlive, upgrade, chunked, contentLength, spans } = parser;
  const fields: string[] = [];
  for (let i = 0; headDone && i < spans.length; i += 4) {
    fields.push(parser.text.slice(spans[i], spans[i + 1]), valueAt(parser.text, spans, i));
  }
  const body = Buffer.concat(parser.body).toString("latin1");
  giveParser(parser);
  const verdict = { used, status, reason, headDone, done };
  // Of a head that is refused or not complete nobody asks more.
  if (!headDone || status !== 0) return verdict;
  const line = { method, target, version };
  return {
    ...verdict,
    ...line,
    host,
    expect,
    keepAlive,
    upgrade,
    chunked,
    contentLength,
    fields,
    body,
  };
}

/** The verdict of a parser that knows nothing: what is known is known of limits. */
function unknowing(text: string, cut?: number): object {
  return verdict(text, { ...LIMITS }, 0, cut);
}

function teach(text: string): void {
  for (let times = 0; times < 3; times++) verdict(text, LIMITS);
}

function agree(text: string, front = 0, cut = text.length): void {
  assert.deepEqual(verdict(text, LIMITS, front, cut), unknowing(text, cut), JSON.stringify(text));
}

describe("a head that came twice", () => {
  const fields = "Host: a\r\nCookie: one\r\nAccept: */*\r\n\r\n";

  function counted(text: string): [runs: number, bytes: number] {
    runs = ran = 0;
    verdict(text, LIMITS);
    return [runs, ran];
  }

  it("is not parsed the third time", () => {
    teach(`GET /a HTTP/1.1\r\n${fields}`);
    assert.deepEqual(counted(`GET /a HTTP/1.1\r\n${fields}`), [0, 0]);
    agree(`GET /a HTTP/1.1\r\n${fields}`);
  });

  it("has only its line parsed when the target is another", () => {
    teach(`GET /a HTTP/1.1\r\n${fields}`);
    const line = "GET /another HTTP/1.1\r\n";
    assert.deepEqual(counted(line + fields), [1, line.length]);
    agree(`GET /third HTTP/1.1\r\n${fields}`);
  });

  it("is parsed when it differs in one byte of its fields, wherever that is", () => {
    const line = "GET /a HTTP/1.1\r\n";
    teach(line + fields);
    for (let at = 0; at < fields.length - 4; at++) {
      const other = String.fromCharCode(fields.charCodeAt(at) ^ 1);
      const changed = fields.slice(0, at) + other + fields.slice(at + 1);
      assert.notEqual(counted(line + changed)[0], 0, JSON.stringify(changed));
      agree(line + changed);
    }
  });

  it("is parsed when its fields stand behind another method or version", () => {
    teach(`GET /a HTTP/1.1\r\n${fields}`);
    teach(`PUT /a HTTP/1.0\r\nHost: a\r\n\r\n`);
    for (const line of ["PUT /a HTTP/1.1\r\n", "GET /a HTTP/1.0\r\n", "PUT /a HTTP/1.0\r\n"]) {
      assert.ok(counted(line + fields)[1] >= line.length + fields.length, line);
      agree(line + fields);
    }
  });

  it("is known to no other limits", () => {
    teach(`GET /a HTTP/1.1\r\n${fields}`);
    const strict = verdict(`GET /a HTTP/1.1\r\n${fields}`, { ...LIMITS, headers: 2 });
    assert.equal((strict as { status: number }).status, 431);
  });

  it("is too long with a target that is too long for it", () => {
    const filled = `Host: a\r\nX: ${"x".repeat(220)}\r\n\r\n`;
    teach(`GET /a HTTP/1.1\r\n${filled}`);
    const statuses: unknown[] = [];
    for (const length of [100, 140, 150, 160, 199, 200, 201, 230]) {
      const text = `GET /${"a".repeat(length - 1)} HTTP/1.1\r\n${filled}`;
      agree(text);
      statuses.push((verdict(text, LIMITS) as { status: number }).status);
    }
    assert.deepEqual(statuses, [0, 0, 0, 431, 431, 431, 414, 414]);
  });

  it("is told from what stands behind it", () => {
    const text = `GET /a HTTP/1.1\r\n${fields}`;
    teach(text);
    for (let front = 0; front < 4; front++) {
      agree(text + NEXT, front);
      agree(`GET /b HTTP/1.1\r\n${fields}${NEXT}`, front);
    }
  });
});

const METHODS = [
  "GET",
  "HEAD",
  "POST",
  "OPTIONS",
  "CONNECT",
  "PUT",
  "SOURCE",
  "PRI",
  "get",
  "BREW",
];
const TARGETS = [
  "/",
  "/a?b=c",
  "*",
  "http://b/c",
  "http://",
  "a:80",
  "/\xff",
  "/#x",
  "/ b",
  "",
].concat(`/${"a".repeat(150)}`, `/${"a".repeat(210)}`, `/${"a".repeat(300)}`);
const VERSIONS = ["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/1.2", "RTSP/1.0", "ICE/1.0", ""];
const ENDS = ["\r\n", "\n", "\r\r\n", " \r\n", "\r\n "];
const FIELDS = [
  "Host: a",
  "Host: b",
  "Host: a b",
  "Content-Length: 0",
  "Content-Length: 5",
  "Transfer-Encoding: chunked",
  "Connection: close",
  "Connection: keep-alive",
  "Connection: Upgrade\r\nUpgrade: x",
  "Expect: 100-continue",
  "Cookie: 0123456789abcdef",
  "Cookie: 0123456789abcdeF",
  " folded",
  `X: ${"x".repeat(200)}`,
  "X : y",
  "X:",
];
const PIECES = [
  "\r\n",
  "\n",
  "\r",
  " ",
  "\t",
  ":",
  "\0",
  "\xff",
  "#",
  "*",
  "/",
  "HTTP/1.0",
  "Host: b\r\n",
];

describe(`heads of parts at random (CORONET_SEED=${seed})`, () => {
  const pick = numbers(seed);
  /** The first of them more often: hardly anything would be valid otherwise. */
  const of = <T>(list: readonly T[]): T => list[pick(6) === 0 ? pick(list.length) : 0] as T;

  function line(): string {
    const target = pick(2) === 0 ? of(TARGETS) : `/${pick(1000)}`;
    return `${of(METHODS)} ${target} ${of(VERSIONS)}${of(ENDS)}`;
  }

  function fields(): string {
    let text = pick(10) === 0 ? "" : "Host: a\r\n";
    for (let count = pick(3); count > 0; count--) {
      text += `${FIELDS[pick(FIELDS.length)]}${pick(20) === 0 ? "\n" : "\r\n"}`;
    }
    return `${text}\r\n`;
  }

  function change(text: string): string {
    const at = pick(text.length + 1);
    const piece = PIECES[pick(PIECES.length)] as string;
    const behind = at + pick(2) * (1 + pick(piece.length));
    return text.slice(0, at) + piece + text.slice(behind);
  }

  it(`mean the same, known or not, ${ROUNDS} pairs of them`, (t) => {
    let known = 0;
    let partly = 0;
    function look(text: string, front = 0): void {
      runs = ran = 0;
      const { headDone, used } = verdict(text, LIMITS, front) as {
        headDone: boolean;
        used: number;
      };
      if (headDone && runs === 0) known++;
      else if (headDone && ran < used) partly++;
      agree(text, front);
    }
    for (let round = 0; round < ROUNDS; round++) {
      const [lineA, fieldsA, lineB, fieldsB] = [line(), fields(), line(), fields()] as const;
      teach(lineA + fieldsA);
      teach(lineB + fieldsB);
      look(lineA + fieldsA, pick(8));
      look(lineA + fieldsB + NEXT, pick(8));
      look(lineB + fieldsA);
      look(change(lineA) + fieldsA);
      look(lineA + change(fieldsA));
      look(line() + fieldsB, pick(8));
      look(`\r\n${lineA}${fieldsA}`);
      const whole = lineA + fieldsA;
      agree(whole, 0, 1 + pick(whole.length));
    }
    t.diagnostic(`${known} heads were known, of ${partly} more the fields`);
    assert.ok(known > ROUNDS / 10 && partly > ROUNDS / 10, "hardly anything was known");
  });
});
