/**
 * fetch_responses.ts: responses as data, and what a client has to make of them.
 *
 * Each is sent as it stands, and the connection is closed behind it. The facts are those of RFC 9110 and
 * 9112, and of the tests of llhttp, undici and Go's net/http; where the standard leaves a choice, the
 * stricter one was taken. A response that is taken and says nothing else leaves its connection reusable.
 */

export interface ResponseCase {
  name: string;
  response: string;
  method?: string;
  /** What is taken: status and body, and how often a trailer was told. */
  status?: number;
  body?: string;
  trailers?: Record<string, string>;
  /** Whether its connection may be used again. */
  reusable?: boolean;
  /** What it is refused with. */
  code?: string;
}

const MALFORMED = "ERR_RESPONSE_MALFORMED";
const TRUNCATED = "ERR_RESPONSE_TRUNCATED";
const TOO_LARGE = "ERR_RESPONSE_TOO_LARGE";

function text(lines: readonly string[], body = ""): string {
  return `${lines.join("\r\n")}\r\n\r\n${body}`;
}

function ok(lines: readonly string[], body = ""): string {
  return text(["HTTP/1.1 200 OK", ...lines], body);
}

function taken(
  name: string,
  response: string,
  body: string,
  more?: Partial<ResponseCase>,
): ResponseCase {
  return { name, response, status: 200, body, reusable: true, ...more };
}

function refused(name: string, response: string, code = MALFORMED): ResponseCase {
  return { name, response, code };
}

const CHUNKED = "Transfer-Encoding: chunked";
const L5 = "Content-Length: 5";

const STATUS_LINES: ResponseCase[] = [
  taken(
    "a reason phrase of several words",
    text(["HTTP/1.1 200 All is well", L5], "hello"),
    "hello",
  ),
  taken("an empty reason phrase", text(["HTTP/1.1 200 ", L5], "hello"), "hello"),
  taken("no reason phrase and no space", text(["HTTP/1.1 200", L5], "hello"), "hello"),
  taken("latin1 in the reason phrase", text(["HTTP/1.1 200 gr\xfc\xdfe", L5], "hello"), "hello"),
  taken("status 299", text(["HTTP/1.1 299 Odd", L5], "hello"), "hello", { status: 299 }),
  taken("status 599", text(["HTTP/1.1 599 Odd", L5], "hello"), "hello", { status: 599 }),
  taken("HTTP/1.0 closes", text(["HTTP/1.0 200 OK", L5], "hello"), "hello", { reusable: false }),
  taken(
    "HTTP/1.0 kept alive",
    text(["HTTP/1.0 200 OK", L5, "Connection: keep-alive"], "hello"),
    "hello",
  ),
  refused("HTTP/2.0", text(["HTTP/2.0 200 OK", L5], "hello")),
  refused("HTTP/0.9", text(["HTTP/0.9 200 OK", L5], "hello")),
  refused("HTTP/1.2", text(["HTTP/1.2 200 OK", L5], "hello")),
  refused("a version of one part", text(["HTTP/1 200 OK", L5], "hello")),
  refused("another protocol", text(["HTTPS/1.1 200 OK", L5], "hello")),
  refused("http in small letters", text(["http/1.1 200 OK", L5], "hello")),
  refused("a status of two digits", text(["HTTP/1.1 20 OK", L5], "hello")),
  refused("a status of four digits", text(["HTTP/1.1 2000 OK", L5], "hello")),
  refused("a status of letters", text(["HTTP/1.1 abc OK", L5], "hello")),
  refused("status 099", text(["HTTP/1.1 099 OK", L5], "hello")),
  refused("a negative status", text(["HTTP/1.1 -200 OK", L5], "hello")),
  refused("no status", text(["HTTP/1.1  OK", L5], "hello")),
  refused("garbage", "garbage that is no response\r\n\r\n"),
  refused("a request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
  refused("a TLS alert", "\x15\x03\x01\x00\x02\x02\x46"),
  refused("NUL bytes", "\0\0\0\0\0\0\0\0"),
  refused("nothing", "", "ERR_UNEXPECTED_EOF"),
  refused("the end inside of the status line", "HTTP/1.1 20", TRUNCATED),
  refused("the end inside of the headers", "HTTP/1.1 200 OK\r\nContent-Le", TRUNCATED),
  refused("a carriage return in the phrase", "HTTP/1.1 200 O\rK\r\nContent-Length: 5\r\n\r\nhello"),
];

const FIELDS: ResponseCase[] = [
  taken("an empty value", ok([L5, "X:"], "hello"), "hello"),
  taken("no space behind the colon", ok(["Content-Length:5"], "hello"), "hello"),
  taken("white space around a value", ok([L5, "X: \t a b \t "], "hello"), "hello"),
  taken("a name in odd letters", ok(["cOnTeNt-LeNgTh: 5"], "hello"), "hello"),
  taken("latin1 in a value", ok([L5, "X: \xe9\xff"], "hello"), "hello"),
  taken("200 fields", ok([L5, ...Array<string>(199).fill("X: y")], "hello"), "hello"),
  refused("a space before the colon", ok(["Content-Length : 5"], "hello")),
  refused("a name with a space", ok([L5, "X Y: z"], "hello")),
  refused("a name with a control character", ok([L5, "X\x01: z"], "hello")),
  refused("an empty name", ok([L5, ": z"], "hello")),
  refused("a line without a colon", ok([L5, "X"], "hello")),
  refused("NUL in a value", ok([L5, "X: a\0b"], "hello")),
  refused("a carriage return in a value", ok([L5, "X: a\rb"], "hello")),
  refused("a folded line", ok([L5, "X: a", " b"], "hello")),
  refused("white space before the first field", ok([" X: a", L5], "hello")),
  refused("bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"),
  refused(
    "a bare line feed behind a field",
    "HTTP/1.1 200 OK\r\nX: a\nContent-Length: 5\r\n\r\nhello",
  ),
  refused("more than 200 fields", ok([L5, ...Array<string>(200).fill("X: y")], "hello"), TOO_LARGE),
  refused("a value of 70 kB", ok([L5, `X: ${"y".repeat(70_000)}`], "hello"), TOO_LARGE),
  refused(
    "headers without end",
    `HTTP/1.1 200 OK\r\n${"X: yyyyyyyyyyyyyyyyyyyy\r\n".repeat(4000)}`,
    TOO_LARGE,
  ),
];

const LENGTHS: ResponseCase[] = [
  taken("a length", ok([L5], "hello"), "hello"),
  taken("length 0", ok(["Content-Length: 0"]), ""),
  taken("zeros before the length", ok(["Content-Length: 0005"], "hello"), "hello"),
  taken("no length: up to the end", ok([], "hello"), "hello", { reusable: false }),
  taken("neither length nor body", ok([]), "", { reusable: false }),
  taken("Connection: close", ok([L5, "Connection: close"], "hello"), "hello", { reusable: false }),
  taken("Connection: close among others", ok([L5, "Connection: x, Close"], "hello"), "hello", {
    reusable: false,
  }),
  taken("bytes behind the body", ok([L5], "helloHTTP/1.1 200 OK\r\n\r\n"), "hello", {
    reusable: false,
  }),
  refused("a body that is too short", ok([L5], "hell"), TRUNCATED),
  refused("no byte of the body", ok([L5]), TRUNCATED),
  refused("a negative length", ok(["Content-Length: -5"], "hello")),
  refused("a length with a plus", ok(["Content-Length: +5"], "hello")),
  refused("a length in hex", ok(["Content-Length: 0x5"], "hello")),
  refused("a length with a fraction", ok(["Content-Length: 5.0"], "hello")),
  refused("an empty length", ok(["Content-Length:"], "hello")),
  refused("a length of letters", ok(["Content-Length: abc"], "hello")),
  refused("a length and more", ok(["Content-Length: 5 5"], "hello")),
  refused("a list of lengths", ok(["Content-Length: 5, 5"], "hello")),
  refused("two lengths that differ", ok([L5, "Content-Length: 6"], "hello")),
  refused("the same length twice", ok([L5, L5], "hello")),
  refused("a length of 20 digits", ok(["Content-Length: 99999999999999999999"], "hello")),
  refused("a length beyond whole numbers", ok(["Content-Length: 9007199254740993"], "hello")),
];

const CHUNKS: ResponseCase[] = [
  taken("chunks", ok([CHUNKED], "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), "hello world"),
  taken("no chunk but the last", ok([CHUNKED], "0\r\n\r\n"), ""),
  taken(
    "sizes in capitals, with zeros",
    ok([CHUNKED], "00A\r\n0123456789\r\n0\r\n\r\n"),
    "0123456789",
  ),
  taken("chunk extensions", ok([CHUNKED], '5;a=b;c="d"\r\nhello\r\n0;x\r\n\r\n'), "hello"),
  taken("trailers", ok([CHUNKED], "5\r\nhello\r\n0\r\nA: 1\r\nB: two\r\n\r\n"), "hello", {
    trailers: { a: "1", b: "two" },
  }),
  taken("an empty trailer", ok([CHUNKED], "5\r\nhello\r\n0\r\nA:\r\nB: two\r\n\r\n"), "hello", {
    trailers: { a: "", b: "two" },
  }),
  taken(
    "a coding in odd letters",
    ok(["Transfer-Encoding: ChUnKeD"], "5\r\nhello\r\n0\r\n\r\n"),
    "hello",
  ),
  taken("bytes behind the chunks", ok([CHUNKED], "5\r\nhello\r\n0\r\n\r\nHTTP/1.1 "), "hello", {
    reusable: false,
  }),
  refused("no last chunk", ok([CHUNKED], "5\r\nhello\r\n"), TRUNCATED),
  refused("the end inside of a chunk", ok([CHUNKED], "5\r\nhel"), TRUNCATED),
  refused("the end inside of a size", ok([CHUNKED], "5"), TRUNCATED),
  refused("the end before the last empty line", ok([CHUNKED], "5\r\nhello\r\n0\r\n"), TRUNCATED),
  refused(
    "the end inside of the trailers",
    ok([CHUNKED], "5\r\nhello\r\n0\r\nA: 1\r\n"),
    TRUNCATED,
  ),
  refused("a size that is no number", ok([CHUNKED], "x\r\nhello\r\n0\r\n\r\n")),
  refused("a negative size", ok([CHUNKED], "-5\r\nhello\r\n0\r\n\r\n")),
  refused("a size with 0x", ok([CHUNKED], "0x5\r\nhello\r\n0\r\n\r\n")),
  refused("an empty size", ok([CHUNKED], "\r\nhello\r\n0\r\n\r\n")),
  refused(
    "a size of 17 digits",
    ok([CHUNKED], "00000000000000001ffff\r\nhello\r\n0\r\n\r\n".replace("0000", "1111")),
  ),
  refused("a chunk that is longer than its size", ok([CHUNKED], "4\r\nhello\r\n0\r\n\r\n")),
  refused("a chunk that is shorter than its size", ok([CHUNKED], "6\r\nhello\r\n0\r\n\r\n")),
  refused("a size behind white space", ok([CHUNKED], " 5\r\nhello\r\n0\r\n\r\n")),
  refused("sizes with bare line feeds", ok([CHUNKED], "5\nhello\n0\n\n")),
  refused("extensions without end", ok([CHUNKED], `5;${"x".repeat(40_000)}\r\nhello\r\n0\r\n\r\n`)),
  refused(
    "trailers without end",
    ok([CHUNKED], `0\r\n${"X: yyyyyyyyyyyyyyyy\r\n".repeat(5000)}`),
    TOO_LARGE,
  ),
  refused("a trailer with NUL", ok([CHUNKED], "0\r\nA: \0\r\n\r\n")),
];

const BOTH: ResponseCase[] = [
  refused("chunked and a length", ok([CHUNKED, L5], "5\r\nhello\r\n0\r\n\r\n")),
  refused("a length and chunked", ok([L5, CHUNKED], "5\r\nhello\r\n0\r\n\r\n")),
  refused("chunked twice", ok([CHUNKED, CHUNKED], "5\r\nhello\r\n0\r\n\r\n")),
  refused(
    "chunked, chunked",
    ok(["Transfer-Encoding: chunked, chunked"], "5\r\nhello\r\n0\r\n\r\n"),
  ),
  refused("gzip, chunked", ok(["Transfer-Encoding: gzip, chunked"], "5\r\nhello\r\n0\r\n\r\n")),
  refused("gzip", ok(["Transfer-Encoding: gzip"], "hello")),
  refused("identity", ok(["Transfer-Encoding: identity"], "hello")),
  refused("an empty coding", ok(["Transfer-Encoding:"], "hello")),
  refused("xchunked", ok(["Transfer-Encoding: xchunked"], "5\r\nhello\r\n0\r\n\r\n")),
  refused("chunked on HTTP/1.0", text(["HTTP/1.0 200 OK", CHUNKED], "5\r\nhello\r\n0\r\n\r\n")),
  refused("a vertical tab before chunked", ok(["Transfer-Encoding: \x0bchunked"], "0\r\n\r\n")),
  refused(
    "a space before the colon of the coding",
    ok(["Transfer-Encoding : chunked"], "0\r\n\r\n"),
  ),
];

const WITHOUT_BODY: ResponseCase[] = [
  taken("204", text(["HTTP/1.1 204 No Content"]), "", { status: 204 }),
  taken("204 with a length", text(["HTTP/1.1 204 No Content", "Content-Length: 0"]), "", {
    status: 204,
  }),
  taken("204 with bytes behind it", text(["HTTP/1.1 204 No Content"], "hello"), "", {
    status: 204,
    reusable: false,
  }),
  taken("304 with the length of what it stands for", text(["HTTP/1.1 304 Not Modified", L5]), "", {
    status: 304,
  }),
  taken("an answer to HEAD with a length", ok([L5]), "", { method: "HEAD" }),
  taken("an answer to HEAD that would be chunked", ok([CHUNKED]), "", { method: "HEAD" }),
  taken("an answer to HEAD with a body", ok([L5], "hello"), "", {
    method: "HEAD",
    reusable: false,
  }),
];

const C100 = "HTTP/1.1 100 Continue\r\n\r\n";
const C103 = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n";

const INTERIM: ResponseCase[] = [
  taken("100 before it", C100 + ok([L5], "hello"), "hello"),
  taken("several interim ones before it", C103 + C100 + C103 + ok([L5], "hello"), "hello"),
  refused("nothing behind 100", C100, TRUNCATED),
  refused(
    "101 that nobody asked for",
    text(["HTTP/1.1 101 Switching", "Connection: Upgrade", "Upgrade: x"]),
  ),
  refused(
    "an interim one that ends the connection",
    text(["HTTP/1.1 103 Early", "Connection: close"]) + ok([L5], "hello"),
  ),
  refused("an interim one of HTTP/1.0", text(["HTTP/1.0 100 Continue"]) + ok([L5], "hello")),
  refused("too many interim ones", C100.repeat(100) + ok([L5], "hello")),
  refused(
    "an interim one with a body",
    text(["HTTP/1.1 103 Early", L5], "hello") + ok([L5], "hello"),
  ),
];

export const RESPONSES: readonly ResponseCase[] = [
  ...STATUS_LINES,
  ...FIELDS,
  ...LENGTHS,
  ...CHUNKS,
  ...BOTH,
  ...WITHOUT_BODY,
  ...INTERIM,
];
