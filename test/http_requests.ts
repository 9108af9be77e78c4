/**
 * http_requests.ts: requests as data, and what a server has to make of them.
 *
 * Each is sent as it stands, with a valid GET /next behind it. `status` is that of the first response; a
 * request that is refused is the last one that is answered on its connection, any other one is followed
 * by the answer to /next. The facts are those of RFC 9110 and 9112, and of the collections of llhttp,
 * gunicorn, h1spec and Http11Probe; where the standard leaves a choice, the stricter one was taken.
 */

export interface RequestCase {
  name: string;
  request: string;
  status: number;
  /** What the handler was given: "METHOD target body". */
  seen?: string;
}

const LF = "\r\n";

function refused(name: string, status: number, request: string): RequestCase {
  return { name, status, request };
}

function taken(name: string, seen: string, request: string): RequestCase {
  return { name, status: 200, request, seen };
}

/** A request with these lines between Host and the end of the head. */
function get(...lines: string[]): string {
  return ["GET / HTTP/1.1", "Host: a", ...lines, "", ""].join(LF);
}

function post(body: string, ...lines: string[]): string {
  return ["POST / HTTP/1.1", "Host: a", ...lines, "", body].join(LF);
}

function chunks(body: string, ...lines: string[]): string {
  return post(body, "Transfer-Encoding: chunked", ...lines);
}

const REQUEST_LINES: RequestCase[] = [
  taken("empty lines before a request", "GET / ", `${LF}${LF}${get()}`),
  taken("every common method", "PATCH / ", `PATCH / HTTP/1.1${LF}Host: a${LF}${LF}`),
  taken("DELETE without a body", "DELETE /x ", `DELETE /x HTTP/1.1${LF}Host: a${LF}${LF}`),
  taken("a query", "GET /a?b=c&d=%20 ", `GET /a?b=c&d=%20 HTTP/1.1${LF}Host: a${LF}${LF}`),
  taken("OPTIONS *", "OPTIONS * ", `OPTIONS * HTTP/1.1${LF}Host: a${LF}${LF}`),
  taken("absolute form", "GET http://b/c ", `GET http://b/c HTTP/1.1${LF}Host: b${LF}${LF}`),
  refused("a method that is not known", 501, `BREW / HTTP/1.1${LF}Host: a${LF}${LF}`),
  refused("a method in small letters", 501, `get / HTTP/1.1${LF}Host: a${LF}${LF}`),
  refused("a method that is no token", 400, `G(T / HTTP/1.1${LF}Host: a${LF}${LF}`),
  refused("no target", 400, `GET HTTP/1.1${LF}Host: a${LF}${LF}`),
  refused("a space in the target", 400, `GET /a b HTTP/1.1${LF}Host: a${LF}${LF}`),
  refused("two spaces before the target", 400, `GET  / HTTP/1.1${LF}Host: a${LF}${LF}`),
  refused("two spaces behind the target", 400, `GET /  HTTP/1.1${LF}Host: a${LF}${LF}`),
  refused("a space behind the version", 400, `GET / HTTP/1.1 ${LF}Host: a${LF}${LF}`),
  refused("a space before the method", 400, ` GET / HTTP/1.1${LF}Host: a${LF}${LF}`),
  refused("tabs for spaces", 400, `GET\t/\tHTTP/1.1${LF}Host: a${LF}${LF}`),
  refused("a fragment", 400, `GET /#a HTTP/1.1${LF}Host: a${LF}${LF}`),
  refused("a target without a slash", 400, `GET a HTTP/1.1${LF}Host: a${LF}${LF}`),
  refused("a control character in the target", 400, `GET /\x01 HTTP/1.1${LF}Host: a${LF}${LF}`),
  refused("NUL in the target", 400, `GET /\0 HTTP/1.1${LF}Host: a${LF}${LF}`),
  refused("a byte above 127 in the target", 400, `GET /\xe9 HTTP/1.1${LF}Host: a${LF}${LF}`),
  refused("no version", 400, `GET /${LF}${LF}`),
  refused("HTTP/0.9", 505, `GET / HTTP/0.9${LF}Host: a${LF}${LF}`),
  refused("HTTP/1.2", 505, `GET / HTTP/1.2${LF}Host: a${LF}${LF}`),
  refused("HTTP/2.0", 505, `GET / HTTP/2.0${LF}Host: a${LF}${LF}`),
  refused("HTTP/9.9", 505, `GET / HTTP/9.9${LF}Host: a${LF}${LF}`),
  refused("the preface of HTTP/2", 505, `PRI * HTTP/2.0${LF}${LF}SM${LF}${LF}`),
  refused("a version of two digits", 400, `GET / HTTP/1.10${LF}Host: a${LF}${LF}`),
  refused("a version without a point", 400, `GET / HTTP/1${LF}Host: a${LF}${LF}`),
  refused("http in small letters", 400, `GET / http/1.1${LF}Host: a${LF}${LF}`),
  refused("another protocol", 400, `GET / FTP/1.1${LF}Host: a${LF}${LF}`),
  refused("a bare LF behind the request line", 400, `GET / HTTP/1.1\nHost: a${LF}${LF}`),
  refused("a bare CR behind the request line", 400, `GET / HTTP/1.1\rHost: a${LF}${LF}`),
  refused("a greeting of TLS", 400, "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"),
  refused("text that is no HTTP", 501, `hello, world${LF}${LF}`),
];

const HOSTS: RequestCase[] = [
  taken("a host with a port", "GET / ", `GET / HTTP/1.1${LF}Host: a.example:8080${LF}${LF}`),
  taken("an IPv6 host", "GET / ", `GET / HTTP/1.1${LF}Host: [::1]:80${LF}${LF}`),
  taken("Host in capitals", "GET / ", `GET / HTTP/1.1${LF}HOST: A${LF}${LF}`),
  refused("no Host", 400, `GET / HTTP/1.1${LF}${LF}`),
  refused("an empty Host", 400, `GET / HTTP/1.1${LF}Host:${LF}${LF}`),
  refused("two Hosts", 400, `GET / HTTP/1.1${LF}Host: a${LF}Host: b${LF}${LF}`),
  refused("twice the same Host", 400, get("Host: a")),
  refused("a space in Host", 400, `GET / HTTP/1.1${LF}Host: a b${LF}${LF}`),
  refused("a path in Host", 400, `GET / HTTP/1.1${LF}Host: a/b${LF}${LF}`),
  refused("a user in Host", 400, `GET / HTTP/1.1${LF}Host: u@a${LF}${LF}`),
  refused("a port that is no number", 400, `GET / HTTP/1.1${LF}Host: a:b${LF}${LF}`),
  refused("two Hosts in HTTP/1.0", 400, `GET / HTTP/1.0${LF}Host: a${LF}Host: b${LF}${LF}`),
];

const FIELDS: RequestCase[] = [
  taken("an empty value", "GET / ", get("X:")),
  taken("no space behind the colon", "GET / ", get("X:y")),
  taken("white space around a value", "GET / ", get("X: \t y \t ")),
  taken("bytes above 127 in a value", "GET / ", get("X: \xe9\xff")),
  taken("every character of a token in a name", "GET / ", get("!#$%&'*+-.^_`|~09aZ: y")),
  taken("a hundred headers", "GET / ", get(...Array.from({ length: 99 }, (_, i) => `X-${i}: y`))),
  refused(
    "a hundred and one headers",
    431,
    get(...Array.from({ length: 100 }, (_, i) => `X-${i}: y`)),
  ),
  refused("headers that are too long", 431, get(`X: ${"y".repeat(17_000)}`)),
  refused("a name that is too long", 431, get(`${"x".repeat(70_000)}: y`)),
  refused(
    "a target that is too long",
    414,
    `GET /${"x".repeat(9_000)} HTTP/1.1${LF}Host: a${LF}${LF}`,
  ),
  refused(
    "a target that never ends",
    414,
    `GET /${"x".repeat(90_000)} HTTP/1.1${LF}Host: a${LF}${LF}`,
  ),
  refused("a space before the colon", 400, get("X : y")),
  refused("a tab before the colon", 400, get("X\t: y")),
  refused("a space before the first name", 400, `GET / HTTP/1.1${LF} X: y${LF}Host: a${LF}${LF}`),
  refused("a folded line", 400, get("X: y", " z")),
  refused("a line folded with a tab", 400, get("X: y", "\tz")),
  refused("an empty name", 400, get(": y")),
  refused("a line without a colon", 400, get("X")),
  refused("a name that is no token", 400, get("X(y): z")),
  refused("a name with a space", 400, get("X Y: z")),
  refused("a name with a byte above 127", 400, get("X\xe9: z")),
  refused("NUL in a name", 400, get("X\0: z")),
  refused("NUL in a value", 400, get("X: \0")),
  refused("a control character in a value", 400, get("X: \x01")),
  refused("DEL in a value", 400, get("X: \x7f")),
  refused("a bare CR in a value", 400, get("X: y\rZ: z")),
  refused("a bare LF between headers", 400, `GET / HTTP/1.1${LF}Host: a\nX: y${LF}${LF}`),
  refused("a bare LF as the end of the head", 400, `GET / HTTP/1.1${LF}Host: a${LF}\n`),
  refused("an expectation that is not known", 417, post("x", "Content-Length: 1", "Expect: more")),
];

const LENGTHS: RequestCase[] = [
  taken("a body", "POST / hello", post("hello", "Content-Length: 5")),
  taken("an empty body", "POST / ", post("", "Content-Length: 0")),
  taken("a POST without a length", "POST / ", post("")),
  taken("a GET with a body", "GET / hello", `${get("Content-Length: 5")}hello`),
  taken("zeros before a length", "POST / hello", post("hello", "Content-Length: 0005")),
  taken("a tab before a length", "POST / hello", post("hello", "Content-Length:\t5")),
  taken("a space behind a length", "POST / hello", post("hello", "Content-Length: 5 ")),
  // White space there is allowed; llhttp refuses the tab, and nobody sends one.
  refused("a tab behind a length", 400, post("hello", "Content-Length: 5\t")),
  refused("a length with a sign", 400, post("hello", "Content-Length: +5")),
  refused("a negative length", 400, post("hello", "Content-Length: -5")),
  refused("a length in hexadecimal", 400, post("hello", "Content-Length: 0x5")),
  refused("a length with a point", 400, post("hello", "Content-Length: 5.0")),
  refused("a length with an exponent", 400, post("hello", "Content-Length: 5e0")),
  refused("a length with an underscore", 400, post("hello", "Content-Length: 0_5")),
  refused("an empty length", 400, post("hello", "Content-Length:")),
  refused("a length that is no number", 400, post("hello", "Content-Length: five")),
  refused("two numbers in a length", 400, post("hello", "Content-Length: 5 5")),
  refused("lengths in a list", 400, post("hello", "Content-Length: 5, 5")),
  refused("two lengths", 400, post("hello", "Content-Length: 5", "Content-Length: 6")),
  refused("twice the same length", 400, post("hello", "Content-Length: 5", "Content-Length: 5")),
  refused("a length beyond 64 bits", 400, post("", "Content-Length: 18446744073709551621")),
  refused("a body beyond the limit", 413, post("", "Content-Length: 99999999999")),
];

const TRANSFERS: RequestCase[] = [
  taken("chunks", "POST / hello", chunks(`2${LF}he${LF}3${LF}llo${LF}0${LF}${LF}`)),
  taken(
    "ten thousand chunks of one byte",
    `POST / ${"x".repeat(10_000)}`,
    chunks(`${`1${LF}x${LF}`.repeat(10_000)}0${LF}${LF}`),
  ),
  taken("no chunks", "POST / ", chunks(`0${LF}${LF}`)),
  taken("a size in capitals", "POST / 0123456789", chunks(`A${LF}0123456789${LF}0${LF}${LF}`)),
  taken("zeros before a size", "POST / hi", chunks(`0002${LF}hi${LF}000${LF}${LF}`)),
  taken("an extension", "POST / hi", chunks(`2;a=b;c="d"${LF}hi${LF}0;e${LF}${LF}`)),
  taken("trailers", "POST / hi", chunks(`2${LF}hi${LF}0${LF}X: y${LF}Z: z${LF}${LF}`)),
  taken(
    "Chunked in capitals",
    "POST / hi",
    post(`2${LF}hi${LF}0${LF}${LF}`, "Transfer-Encoding: CHUNKED"),
  ),
  refused("a length beside chunks", 400, chunks(`2${LF}hi${LF}0${LF}${LF}`, "Content-Length: 12")),
  refused(
    "chunks beside a length",
    400,
    post(`2${LF}hi${LF}0${LF}${LF}`, "Content-Length: 12", "Transfer-Encoding: chunked"),
  ),
  refused(
    "chunks in HTTP/1.0",
    400,
    `POST / HTTP/1.0${LF}Host: a${LF}Transfer-Encoding: chunked${LF}${LF}0${LF}${LF}`,
  ),
  refused("a coding that is not known", 400, post("", "Transfer-Encoding: gzip")),
  refused("identity", 400, post("", "Transfer-Encoding: identity")),
  refused("an empty coding", 400, post("", "Transfer-Encoding:")),
  refused("chunked before another coding", 400, post("", "Transfer-Encoding: chunked, gzip")),
  refused(
    "another coding before chunked",
    501,
    post(`0${LF}${LF}`, "Transfer-Encoding: gzip, chunked"),
  ),
  refused("chunked twice", 400, post(`0${LF}${LF}`, "Transfer-Encoding: chunked, chunked")),
  refused("two codings", 400, chunks(`0${LF}${LF}`, "Transfer-Encoding: chunked")),
  refused("chunked with a vertical tab", 400, post("", "Transfer-Encoding: \x0bchunked")),
  refused("xchunked", 400, post("", "Transfer-Encoding: xchunked")),
  refused("chunked in quotes", 400, post("", 'Transfer-Encoding: "chunked"')),
  refused("a space before the colon of a coding", 400, post("", "Transfer-Encoding : chunked")),
  refused("a size that is no number", 400, chunks(`x${LF}hi${LF}0${LF}${LF}`)),
  refused("an empty size", 400, chunks(`${LF}hi${LF}0${LF}${LF}`)),
  refused("a negative size", 400, chunks(`-2${LF}hi${LF}0${LF}${LF}`)),
  refused("a size with 0x", 400, chunks(`0x2${LF}hi${LF}0${LF}${LF}`)),
  refused("a size with an underscore", 400, chunks(`0_2${LF}hi${LF}0${LF}${LF}`)),
  refused("a space before a size", 400, chunks(` 2${LF}hi${LF}0${LF}${LF}`)),
  refused("a size beyond 64 bits", 400, chunks(`10000000000000002${LF}hi${LF}0${LF}${LF}`)),
  refused("a bare LF behind a size", 400, chunks(`2\nhi${LF}0${LF}${LF}`)),
  refused("a bare CR behind a size", 400, chunks(`2\rhi${LF}0${LF}${LF}`)),
  refused("a bare LF behind a chunk", 400, chunks(`2${LF}hi\n0${LF}${LF}`)),
  refused("a bare LF in an extension", 400, chunks(`2;a\nhi${LF}0${LF}${LF}`)),
  refused("a chunk longer than its size", 400, chunks(`2${LF}hello${LF}0${LF}${LF}`)),
  refused("no line end behind a chunk", 400, chunks(`2${LF}hi0${LF}${LF}`)),
  refused("a Host in the trailers", 400, chunks(`0${LF}Host: b${LF}${LF}`)),
  refused("a length in the trailers", 400, chunks(`0${LF}Content-Length: 5${LF}${LF}`)),
  refused("an empty coding in the trailers", 400, chunks(`0${LF}Transfer-Encoding:${LF}${LF}`)),
  refused("a folded trailer", 400, chunks(`0${LF}X: y${LF} z${LF}${LF}`)),
  refused("a trailer without a colon", 400, chunks(`0${LF}X${LF}${LF}`)),
  refused(
    "an extension without end",
    400,
    chunks(`2;${"x".repeat(40_000)}${LF}hi${LF}0${LF}${LF}`),
  ),
  refused("trailers without end", 431, chunks(`0${LF}X: ${"y".repeat(40_000)}${LF}${LF}`)),
];

export const REQUESTS: readonly RequestCase[] = [
  ...REQUEST_LINES,
  ...HOSTS,
  ...FIELDS,
  ...LENGTHS,
  ...TRANSFERS,
];
