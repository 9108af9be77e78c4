/**
 * parser.ts: bytes to one response, by the machinery that parses requests (../parser.ts).
 *
 * Stricter than a browser, as whoever stands behind a proxy needs it: what two readers could take for
 * different responses is refused (RFC 9112, 6.3 and 11.2).
 */
import { llhttp, NO_BODY, RESPONSE } from "../llhttp.ts";
import { MessageParser, type ParserLimits } from "../parser.ts";

/** Whatever its headers say, such a response has no body (RFC 9112, 6.3). */
function hasNoBody(code: number): boolean {
  return code < 200 || code === 204 || code === 304;
}

export class ResponseParser extends MessageParser {
  /** The status of the response. `status` is what it is refused with. */
  code = 0;
  /** The body ends where the connection does. */
  untilClose = false;
  /** The response answers a HEAD. */
  private toHead = false;
  /** It answers a CONNECT: a tunnel follows a head that says yes. */
  private toConnect = false;
  private phraseStart = 0;
  private phraseEnd = 0;
  private hint = "";
  /** The value of Content-Encoding. */
  encoding = "";

  beginFor(method: string, limits: ParserLimits): void {
    this.begin(limits);
    this.toHead = method === "HEAD";
    this.toConnect = method === "CONNECT";
    this.code = 0;
    this.untilClose = false;
    this.phraseStart = -1;
    this.phraseEnd = 0;
    this.hint = this.encoding = "";
  }

  protected get type(): number {
    return RESPONSE;
  }

  protected get lineEnd(): number {
    return this.phraseEnd;
  }

  onLine(at: number, length: number): void {
    const place = at + this.priorLength;
    if (this.phraseStart === -1) this.phraseStart = place;
    this.phraseEnd = place + length;
  }

  override onHead(code: number, upgrade: boolean, keepAlive: boolean): number {
    super.onHead(code, upgrade, keepAlive);
    this.code = code;
    return this.hasBody ? 0 : NO_BODY;
  }

  /** The head says that a body follows, even if that is empty. */
  get hasBody(): boolean {
    const { code } = this;
    return !(this.toHead || hasNoBody(code) || (this.toConnect && code < 300));
  }

  get phrase(): string {
    return this.phraseStart === -1 ? "" : this.text.slice(this.phraseStart, this.phraseEnd);
  }

  /** For how long the server keeps an idle connection, in ms, where it says so; -1 where not. */
  get keptFor(): number {
    const seconds = /(?:^|[,\s])timeout=(\d{1,6})(?:$|[,;\s])/i.exec(this.hint)?.[1];
    return seconds === undefined ? -1 : Number(seconds) * 1000;
  }

  /** The value of a field of that name (in lower case), the first one if there are several. */
  field(name: string): string | undefined {
    const { spans } = this;
    for (let i = 0; i < spans.length; i += 4) {
      const start = spans[i] as number;
      const isLong = (spans[i + 1] as number) - start === name.length;
      if (isLong && this.isNamed(start, name)) return this.value(i);
    }
    return undefined;
  }

  /**
   * Takes bytes of a body that is not chunked as they are, without another look at them: the place up to
   * which they were its own.
   */
  pass(chunk: Uint8Array, at: number): number {
    const left = this.untilClose ? Infinity : this.contentLength - this.bodyBytes;
    const length = Math.min(chunk.length - at, left);
    if (length > 0)
      this.body.push(length === chunk.length ? chunk : chunk.subarray(at, at + length));
    this.bodyBytes += length;
    if (length === left) this.done = true;
    return at + length;
  }

  protected judgeHead(end: number): undefined {
    const version = llhttp().version(this.machine);
    this.version = version;
    if (version !== 11 && version !== 10) {
      return this.fail(505, `its version is HTTP/${Math.floor(version / 10)}.${version % 10}`);
    }
    if (this.code < 100) return this.fail(400, `its status is ${this.code}`);
    this.judgeSize(end);
    if (this.status !== 0) return;
    this.judgeFields();
    if (this.status !== 0) return;
    const declared = this.contentLength !== -1;
    if (this.chunked && declared) {
      return this.fail(400, "it has both Transfer-Encoding and Content-Length");
    }
    if ((this.chunked || declared) && this.code < 200) {
      // RFC 9110, 8.6 and RFC 9112, 6.1: an interim response has neither.
      return this.fail(400, "an interim response has no body");
    }
    if (this.code < 200 && this.code !== 101 && !this.keepAlive) {
      return this.fail(400, "an interim response ends the connection");
    }
    this.untilClose = this.hasBody && !this.chunked && !declared;
    if (this.untilClose) this.keepAlive = false;
  }

  private judgeFields(): undefined {
    const { spans } = this;
    for (let i = 0; i < spans.length; i += 4) {
      const start = spans[i] as number;
      switch ((spans[i + 1] as number) - start) {
        case 10:
          if (this.isNamed(start, "keep-alive")) this.hint = this.value(i);
          break;
        case 14:
          if (this.isNamed(start, "content-length")) this.judgeLength(this.value(i));
          break;
        case 16:
          if (!this.isNamed(start, "content-encoding")) break;
          this.encoding += (this.encoding === "" ? "" : ",") + this.value(i);
          break;
        case 17:
          if (this.isNamed(start, "transfer-encoding")) this.judgeEncoding(this.value(i));
          break;
        default:
      }
      if (this.status !== 0) return;
    }
  }

  private judgeLength(value: string): undefined {
    const length = Number(value);
    if (!/^\d+$/.test(value) || !Number.isSafeInteger(length)) {
      return this.fail(400, `its Content-Length is ${JSON.stringify(value.slice(0, 40))}`);
    }
    if (this.contentLength !== -1 && this.contentLength !== length) {
      return this.fail(400, "it has two Content-Lengths");
    }
    this.contentLength = length;
  }

  protected failRun(_result: number, _stop: number): void {
    this.fail(400, llhttp().reason(this.machine));
  }
}

const spare: ResponseParser[] = [];

/** A parser for the response to a request of that method; to be given back with giveResponseParser. */
export function takeResponseParser(method: string, limits: ParserLimits): ResponseParser {
  const parser = spare.pop() ?? new ResponseParser(limits);
  parser.beginFor(method, limits);
  return parser;
}

export function giveResponseParser(parser: ResponseParser): void {
  parser.release();
  spare.push(parser);
}
