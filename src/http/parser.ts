/**
 * parser.ts: bytes to one message: llhttp finds the places, this file holds what it leaves open.
 *
 * What requests and responses have in common stands in MessageParser; responses are judged in
 * client/parser.ts.
 *
 * A parser is used for one message: head, then body, then trailers; then it goes back to the pool. The
 * head is kept as one latin1 string and the places of names and values in it, so that a request whose
 * headers nobody asks for costs one string.
 *
 * What llhttp does not decide is decided here (RFC 9112): the version, Host, Transfer-Encoding on 1.0 and
 * other than "chunked", one space between the parts of the request line, lengths of all kinds. llhttp
 * tells nothing of chunk extensions, so the bytes that are no body are counted.
 *
 * Invariants
 *  - Once `status` is not 0 the parser has failed: nothing is parsed any more.
 *  - `spans` holds four places for each field: start and end of its name, start and end of its value.
 */
import { chunkOf } from "../poll/buffers.ts";
import {
  type KnownFields,
  lineSize,
  recallFields,
  recallLine,
  rememberFields,
  rememberLine,
} from "./known_heads.ts";
import {
  type Events,
  INPUT_SIZE,
  INVALID_METHOD,
  INVALID_VERSION,
  type Llhttp,
  llhttp,
  OK,
  PAUSED,
  PAUSED_H2,
  REQUEST,
} from "./llhttp.ts";

/** How much of a message is read at most. */
export interface ParserLimits {
  /** Bytes of the first line and headers; of trailers. */
  headerBytes: number;
  /** Number of headers; of trailers. */
  headers: number;
  /** Length of the request target. */
  url: number;
  /** Bytes of the body. */
  body: number;
}

/** A token, or the beginning of one. */
const TOKEN = /^[\w!#$%&'*+\-.^`|~]+$/;
const SPACE = 0x20;
const SLASH = 0x2f;
/** Length of " HTTP/1.1" */
const VERSION = 9;
const TAB = 0x09;
const CLOSE = /(?:^|,)[ \t]*close[ \t]*(?:,|$)/i;
/** What says how a message is framed and where it goes (RFC 9110, 6.5.1). */
const NO_TRAILERS = new Set(["content-length", "host", "transfer-encoding"]);
const NO_SPANS: number[] = [];

/**
 * Bytes of chunk sizes, extensions and trailers that a body may have beyond twice its own length and 16
 * per chunk (the rule of Go's net/http).
 */
const FRAMING_ALLOWANCE = 16_384;
const FRAMING_PER_CHUNK = 16;

/** reg-name, IPv4 or an IP literal, with a port or without (RFC 3986, 3.2.2). */
export const HOST =
  /^(?:[\w\-.~!$&'()*+,;=]|%[\da-f]{2})+(?::\d{0,5})?$|^\[[\da-f:.]+\](?::\d{0,5})?$/i;

/** Parts of a body that are smaller on the average are joined: an object for each byte would cost more than it. */
const SMALL_PART = 4096;

/** Bytes that a pipelined request's head is parsed in at a time. */
const PIPELINED_STEP = 2048;
/**
 * Bytes of a chunked body that are parsed at a time while its chunks are not known to be longer than this many
 * on the average: 64 KiB of chunks of one byte take 4 ms.
 */
const TINY_STEP = 4096;
const TINY = 256;

// The places of the head that is being parsed; copied when it is complete.
const found: number[] = [];

let lastHost = "";

export abstract class MessageParser implements Events {
  limits: ParserLimits;
  /** 0, or what the message is refused with. */
  status = 0;
  reason = "";
  headDone = false;
  /** The whole message has been parsed. */
  done = false;

  text = "";
  spans: readonly number[] = NO_SPANS;
  version = 0;
  upgrade = false;
  keepAlive = false;
  /** Declared length of the body; -1 when there is none or it is chunked. */
  contentLength = -1;
  chunked = false;
  /** Parts of the body that the last parse has found. */
  readonly body: Uint8Array[] = [];
  bodyBytes = 0;
  /** Names and values of the trailers, in turn. */
  trailers: string[] | undefined = undefined;

  /** 0 until there is something to parse that is not known already. */
  protected machine = 0;
  protected prior: Buffer | undefined = undefined;
  protected priorLength = 0;
  /** Four for each header that was found. */
  protected count = 0;
  private collected: number[] = found;
  private lastIsName = false;
  /** What is parsed, and the place of the run in it; undefined when that is in the input alone. */
  private chunk: Uint8Array | undefined = undefined;
  private chunkAt = 0;
  /** Where in the input the run began. */
  protected origin = 0;
  private excess = 0;
  /** Up to where in this run the body's framing has been counted. */
  private framedTo = 0;
  private trailerBytes = 0;
  /** The body's last chunks were tiny, or none has come. */
  private isTiny = true;

  constructor(limits: ParserLimits) {
    this.limits = limits;
  }

  /** REQUEST or RESPONSE. */
  protected abstract get type(): number;
  /** Where the first line's part ends that has been found. */
  protected abstract get lineEnd(): number;
  /** Looks at a head that is complete and ends there. */
  protected abstract judgeHead(end: number): void;
  /** llhttp has stopped at `stop`. What stands behind that must not matter: it may not have come yet. */
  protected abstract failRun(result: number, stop: number): void;

  /** Gets ready for a new message. */
  begin(limits: ParserLimits): void {
    this.limits = limits;
    this.machine = 0;
    this.status = 0;
    this.headDone = this.done = this.chunked = this.upgrade = this.lastIsName = false;
    this.contentLength = -1;
    this.trailers = undefined;
    this.prior = undefined;
    this.count = this.priorLength = this.bodyBytes = this.excess = this.trailerBytes = 0;
    this.isTiny = true;
    this.collected = found;
    if (this.body.length !== 0) this.body.length = 0;
  }

  /** Bytes of the head so far. */
  get headBytes(): number {
    return this.priorLength;
  }

  /**
   * Parses a chunk from `at` on, at most INPUT_SIZE of it: the place up to which it was parsed. Look at
   * `status`, `headDone`, `done` and `body` then.
   */
  parse(chunk: Uint8Array, at: number): number {
    // Behind other requests of its chunk a head is given little at a time: each might copy all the rest.
    let most = INPUT_SIZE;
    if (this.headDone) {
      if (this.chunked && this.isTiny) most = TINY_STEP;
    } else if (at > 0) most = PIPELINED_STEP;
    const length = Math.min(chunk.length - at, most);
    this.chunk = chunk;
    this.chunkAt = at;
    const used = this.run(llhttp().place(chunk, at, most), length);
    this.chunk = undefined;
    return at + used;
  }

  /** As parse, of the first bytes of the input itself; parts of a body are copied out of it. */
  parseInput(length: number): number {
    return this.run(0, length);
  }

  private run(origin: number, length: number): number {
    const lib = llhttp();
    this.origin = origin;
    const isFirst = this.machine === 0;
    if (isFirst) {
      const known = this.recalled(origin, length);
      if (known > 0) return known;
      this.machine = lib.take(this.type);
    }
    const wasHead = !this.headDone;
    const before = this.bodyBytes;
    this.framedTo = 0;
    const result = lib.run(this.machine, origin, length, this);
    const used = result === OK ? length : lib.stoppedAt(this.machine);
    if (result !== OK && result !== PAUSED) {
      this.failRun(result, used);
      return used;
    }
    if (wasHead) this.afterHead(length, used);
    else this.countFraming(used - this.framedTo);
    const { body } = this;
    this.isTiny = this.bodyBytes - before < TINY * body.length;
    if (body.length > 1 && this.bodyBytes - before < SMALL_PART * body.length) {
      body.splice(0, body.length, Buffer.concat(body));
    }
    if (result === PAUSED && this.status === 0) {
      if (this.trailers !== undefined) this.judgeTrailers(this.trailers);
      this.done = this.status === 0;
      if (isFirst) this.cameWhole(origin, used);
    }
    return used;
  }

  /** Takes over what was found in the same message before; how many bytes it has, 0 when it is new. */
  protected recalled(_origin: number, _length: number): number {
    return 0;
  }

  /** The message stands in the input, all of it. */
  protected cameWhole(_origin: number, _size: number): void {}

  /** Looks at the trailers, at the end of a message. */
  protected judgeTrailers(_trailers: readonly string[]): void {}

  // ---- what llhttp tells

  abstract onLine(at: number, length: number): void;

  onName(at: number, length: number): void {
    if (this.headDone) {
      this.onTrailer(at, length, true);
      return;
    }
    const place = at + this.priorLength;
    const { collected } = this;
    if (this.lastIsName) {
      collected[this.count - 3] = place + length;
      return;
    }
    this.lastIsName = true;
    collected[this.count] = place;
    collected[this.count + 1] = place + length;
    collected[this.count + 2] = place;
    collected[this.count + 3] = place;
    this.count += 4;
  }

  onValue(at: number, length: number): void {
    if (this.headDone) {
      this.onTrailer(at, length, false);
      return;
    }
    const place = at + this.priorLength;
    const { collected, count } = this;
    if (this.lastIsName) collected[count - 2] = place;
    collected[count - 1] = place + length;
    this.lastIsName = false;
  }

  onHead(_code: number, upgrade: boolean, keepAlive: boolean): number {
    this.headDone = true;
    this.lastIsName = false;
    // Behind the last value stand two line ends, and perhaps white space.
    const { count } = this;
    const last = count === 0 ? 0 : (this.collected[count - 1] as number) - this.priorLength;
    this.framedTo = Math.max(0, last + 4);
    this.upgrade = upgrade;
    this.keepAlive = keepAlive;
    return OK;
  }

  onBody(at: number, length: number): void {
    this.bodyBytes += length;
    const framing = at - this.framedTo;
    this.excess = Math.max(0, this.excess + framing - FRAMING_PER_CHUNK - 2 * length);
    this.framedTo = at + length;
    const { chunk } = this;
    if (chunk === undefined) this.body.push(chunkOf(llhttp().bytes, this.origin + at, length));
    else this.body.push(chunk.subarray(this.chunkAt + at, this.chunkAt + at + length));
  }

  private onTrailer(at: number, length: number, isName: boolean): void {
    this.trailerBytes += length;
    if (this.trailerBytes > this.limits.headerBytes) return;
    this.trailers ??= [];
    const { trailers } = this;
    const text = this.sliceOf(at, at + length);
    if (this.lastIsName === isName && trailers.length > 0) {
      trailers[trailers.length - 1] += text;
    } else trailers.push(text);
    this.lastIsName = isName;
  }

  /** Bytes of this run as text. */
  protected sliceOf(from: number, to: number): string {
    return llhttp().input.latin1Slice(this.origin + from, this.origin + to);
  }

  // ---- the head

  private afterHead(length: number, used: number): void {
    if (!this.headDone) {
      this.keepHead(length);
      return;
    }
    const { count, collected } = this;
    const last = count === 0 ? this.lineEnd : (collected[count - 1] as number);
    const end = Math.min(last, this.priorLength + used);
    // The end of the head is found in this input: what stood before has been kept.
    const here = this.sliceOf(0, Math.max(0, end - this.priorLength));
    this.text =
      this.prior === undefined ? here : this.prior.toString("latin1", 0, this.priorLength) + here;
    this.spans = collected.slice(0, count);
    this.prior = undefined;
    this.judgeHead(end);
    this.countFraming(Math.max(0, used - this.framedTo));
  }

  /** The head goes on in the next chunk: its bytes are kept, its places are its own from now on. */
  private keepHead(length: number): void {
    const total = this.priorLength + length;
    if (this.collected === found) this.collected = found.slice(0, this.count);
    let { prior } = this;
    if (prior === undefined || prior.length < total) {
      const larger = Buffer.allocUnsafeSlow(Math.max(256, total, 2 * (prior?.length ?? 0)));
      if (prior !== undefined) larger.set(prior.subarray(0, this.priorLength));
      prior = this.prior = larger;
    }
    llhttp().input.copy(prior, this.priorLength, this.origin, this.origin + length);
    this.priorLength = total;
    this.judgeSize(total);
  }

  /** Whether the head is too large, as far as it is known: it has so many bytes. */
  protected judgeSize(bytes: number): undefined {
    const { limits } = this;
    if (bytes > limits.headerBytes) return this.fail(431, "the headers are too long");
    if (this.count > 4 * limits.headers) return this.fail(431, "there are too many headers");
  }

  protected isNamed(start: number, name: string): boolean {
    return isNamed(this.text, start, name);
  }

  protected value(i: number): string {
    return valueAt(this.text, this.spans, i);
  }

  protected judgeEncoding(value: string): undefined {
    if (this.version === 10) return this.fail(400, "HTTP/1.0 has no Transfer-Encoding");
    if (this.chunked) return this.fail(400, "there is more than one Transfer-Encoding header");
    if (value === "") return this.fail(400, "the Transfer-Encoding is empty");
    if (value.toLowerCase() !== "chunked") {
      return this.fail(501, `the transfer coding "${value}" is not known here`);
    }
    this.chunked = true;
  }

  // ---- the rest of the message

  private countFraming(bytes: number): undefined {
    const { limits } = this;
    if (this.bodyBytes > limits.body) return this.fail(413, "the body is too large");
    const { trailers } = this;
    if (this.trailerBytes > limits.headerBytes || (trailers?.length ?? 0) > 2 * limits.headers) {
      return this.fail(431, "the trailers are too long");
    }
    if (!this.chunked) return;
    this.excess += bytes;
    if (this.excess > FRAMING_ALLOWANCE + (this.trailerBytes << 1)) {
      this.fail(400, "the chunks have more framing than body");
    }
  }

  protected fail(status: number, reason: string): undefined {
    if (this.status !== 0) return;
    this.status = status;
    this.reason = reason;
  }

  /** Gives the machine back: nothing more is parsed. */
  stop(): void {
    if (this.machine !== 0) llhttp().give(this.machine, this.type);
    this.machine = 0;
    this.prior = undefined;
    this.collected = found;
  }

  /** Ends its use. What the message's user may have taken over is not changed under him. */
  release(): void {
    this.stop();
    this.spans = NO_SPANS;
    this.text = "";
  }
}

/** A request: for a server. */
export class RequestParser extends MessageParser {
  method = "";
  target = "";
  host = "";
  /** The value of Expect; undefined without one. */
  expect: string | undefined = undefined;
  private urlStart = 0;
  private urlEnd = 0;

  override begin(limits: ParserLimits): void {
    super.begin(limits);
    this.expect = undefined;
    this.urlStart = -1;
  }

  protected get type(): number {
    return REQUEST;
  }

  /** Without headers the text goes on to the end of the line: the version is read from it. */
  protected get lineEnd(): number {
    return this.urlEnd + VERSION;
  }

  protected override recalled(origin: number, length: number): number {
    const lib = llhttp();
    const line = lineSize(lib, origin, length);
    if (line === 0) return 0;
    const fields = recallFields(lib, origin + line, length - line, this.limits);
    if (fields === undefined || !this.takeLine(origin, line, fields)) return 0;
    this.adopt(fields);
    return line + fields.size;
  }

  /**
   * Takes the line in front of fields that are known. False when llhttp has to see both: they do not belong
   * to each other, or there is something about the line that has to be judged.
   */
  private takeLine(origin: number, size: number, fields: KnownFields): boolean {
    const { headerBytes, url } = this.limits;
    if (size + fields.end > headerBytes) return false;
    const lib = llhttp();
    const known = recallLine(lib, origin, size);
    if (known !== undefined) {
      if (known.method !== fields.method || known.version !== fields.version) return false;
      this.target = known.target;
      return this.target.length <= url;
    }
    if (!this.parseLine(lib, origin, size, fields)) {
      this.begin(this.limits);
      return false;
    }
    this.method = fields.method;
    this.version = fields.version;
    rememberLine(lib, origin, size, this);
    return true;
  }

  /**
   * Runs a machine over the line. True when it stands before the first field then, knows what it knew when
   * the fields were parsed (the same method and version, and nothing of any field), and the target is a path.
   */
  private parseLine(lib: Llhttp, origin: number, size: number, fields: KnownFields): boolean {
    this.origin = origin;
    const machine = lib.take(REQUEST);
    const result = lib.run(machine, origin, size, this);
    const isKin = lib.method(machine) === fields.method && lib.version(machine) === fields.version;
    lib.give(machine, REQUEST);
    const isLine = result === OK && this.count === 0 && !this.headDone;
    if (!isLine || !isKin || !this.isTight(fields.method, size)) return false;
    const target = this.sliceOf(this.urlStart, this.urlEnd);
    this.target = target;
    return (
      target.charCodeAt(0) === SLASH && !target.includes("#") && target.length <= this.limits.url
    );
  }

  /** The line has one space on either side of the target, and nothing in front of the method. */
  private isTight(method: string, size: number): boolean {
    return this.urlStart === method.length + 1 && this.urlEnd + VERSION + 2 === size;
  }

  private adopt(fields: KnownFields): void {
    this.headDone = this.done = true;
    this.text = fields.text;
    this.spans = fields.spans;
    this.method = fields.method;
    this.version = fields.version;
    this.host = fields.host;
    this.keepAlive = fields.keepAlive;
    this.contentLength = fields.contentLength;
    this.expect = fields.expect;
  }

  protected override cameWhole(origin: number, size: number): void {
    if (this.upgrade || this.chunked || this.contentLength > 0) return;
    const lib = llhttp();
    const line = lineSize(lib, origin, size);
    if (line === 0 || !this.isTight(this.method, line)) return;
    rememberLine(lib, origin, line, this);
    rememberFields(lib, origin, size, line, this.limits, this);
  }

  /** llhttp refuses some of these there, by their values. */
  protected override judgeTrailers(trailers: readonly string[]): void {
    for (let i = 0; i < trailers.length; i += 2) {
      const name = (trailers[i] as string).toLowerCase();
      if (NO_TRAILERS.has(name)) this.fail(400, `${name} is no trailer`);
    }
  }

  onLine(at: number, length: number): void {
    const place = at + this.priorLength;
    if (this.urlStart === -1) this.urlStart = place;
    this.urlEnd = place + length;
  }

  protected override judgeSize(bytes: number): undefined {
    if (this.urlStart !== -1 && this.urlEnd - this.urlStart > this.limits.url) {
      return this.fail(414, "the request target is too long");
    }
    super.judgeSize(bytes);
  }

  protected judgeHead(end: number): undefined {
    const { text, urlStart, urlEnd } = this;
    const lib = llhttp();
    this.target = text.slice(urlStart, urlEnd);
    const version = lib.version(this.machine);
    this.version = version;
    this.method = lib.method(this.machine);
    if (version !== 11 && version !== 10)
      return this.failVersion(text.slice(urlEnd).split("\r\n", 1)[0] as string);
    this.judgeSize(end);
    if (this.status !== 0) return;
    const loose =
      (urlStart >= 2 && text.charCodeAt(urlStart - 2) === SPACE) ||
      (this.count > 0 && text.charCodeAt(urlEnd + 1) === SPACE);
    if (loose) return this.fail(400, "the request line has more than one space");
    const hash = text.indexOf("#", urlStart);
    if (hash !== -1 && hash < urlEnd) return this.fail(400, "the request target has a fragment");
    if (text.charCodeAt(urlStart) !== SLASH) this.judgeTarget(this.target);
    this.judgeFields();
  }

  /** A target that is no path: "*", or a whole url; llhttp has seen to the form of CONNECT's. */
  private judgeTarget(target: string): undefined {
    if (this.method === "CONNECT") return;
    if (target === "*") {
      if (this.method !== "OPTIONS") this.fail(400, "only OPTIONS may ask for *");
      return;
    }
    const authority = /^[a-z][a-z\d+.-]*:\/\/([^/?]*)/i.exec(target)?.[1] ?? "";
    if (!HOST.test(authority)) this.fail(400, "the request target names no host");
  }

  private judgeFields(): undefined {
    const { spans } = this;
    let hosts = 0;
    this.host = "";
    for (let i = 0; i < spans.length; i += 4) {
      const start = spans[i] as number;
      switch ((spans[i + 1] as number) - start) {
        case 4:
          if (!this.isNamed(start, "host")) break;
          hosts++;
          this.host = this.value(i);
          break;
        case 6:
          if (this.isNamed(start, "expect")) this.expect = this.value(i);
          break;
        case 10:
          if (this.keepAlive && this.isNamed(start, "connection"))
            this.judgeConnection(this.value(i));
          break;
        case 14:
          // llhttp has seen to it that there is one, of digits alone.
          if (this.isNamed(start, "content-length")) this.contentLength = Number(this.value(i));
          break;
        case 17:
          if (this.isNamed(start, "transfer-encoding")) this.judgeEncoding(this.value(i));
          break;
        default:
      }
      if (this.status !== 0) return;
    }
    if (hosts > 1) return this.fail(400, "there is more than one Host header");
    if (hosts === 0) {
      if (this.version === 11) this.fail(400, "there is no Host header");
    } else if (this.host !== lastHost) {
      if (!HOST.test(this.host)) return this.fail(400, "the Host header is not a host");
      lastHost = this.host;
    }
    if (this.contentLength > this.limits.body) this.fail(413, "the body is too large");
  }

  /** llhttp of some versions does not know "close" with a tab behind it. */
  private judgeConnection(value: string): void {
    if (value === "keep-alive" || !CLOSE.test(value)) return;
    this.keepAlive = false;
  }

  // ---- failing

  protected failRun(result: number, stop: number): void {
    if (this.status !== 0) return;
    if (result === INVALID_METHOD || result === INVALID_VERSION) {
      const end = result === INVALID_METHOD ? stop + 1 : stop;
      const seen =
        (this.prior?.toString("latin1", 0, this.priorLength) ?? "") + this.sliceOf(0, end);
      const line = seen.replace(/^[\r\n]+/, "");
      if (result === INVALID_VERSION) this.failVersion(line);
      else if (TOKEN.test(line)) this.fail(501, "the method is not known here");
    } else if (result === PAUSED_H2) this.failVersion(" HTTP/2.0");
    this.fail(400, llhttp().reason(this.machine));
  }

  private failVersion(line: string): undefined {
    const version = / HTTP\/(\d\.\d)\r?$/.exec(line)?.[1] ?? "1.1";
    if (version === "1.1" || version === "1.0") {
      this.fail(400, "the request line names no version of HTTP");
    } else this.fail(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
  }
}

const spare: RequestParser[] = [];

/** A parser for the next message; to be given back with giveParser. */
export function takeParser(limits: ParserLimits): RequestParser {
  const parser = spare.pop() ?? new RequestParser(limits);
  parser.begin(limits);
  return parser;
}

export function giveParser(parser: RequestParser): void {
  parser.release();
  spare.push(parser);
}

/** Whether a field's name that begins there and is as long as this one (in lower case) is this one. */
export function isNamed(text: string, start: number, name: string): boolean {
  for (let i = 0; i < name.length; i++) {
    const code = text.charCodeAt(start + i);
    // llhttp lets tokens through and nothing else: what differs by this bit alone is a letter, or "-".
    if ((code | 0x20) !== name.charCodeAt(i)) return false;
  }
  return true;
}

/** The value of the field at spans[i], without the white space around it. */
export function valueAt(text: string, spans: readonly number[], i: number): string {
  let end = spans[i + 3] as number;
  const start = spans[i + 2] as number;
  while (end > start) {
    const code = text.charCodeAt(end - 1);
    if (code !== SPACE && code !== TAB) break;
    end--;
  }
  return text.slice(start, end);
}
