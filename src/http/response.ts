/**
 * response.ts: Response as the Fetch standard has it, for servers: cheap to make, written as it is.
 *
 * A text of a usual kind costs one object: its headers become a list when there are some, and a Headers
 * when somebody asks for it.
 */
import { asGlobal, Body, type BodyInit, type Source, sourceOf, TEXT_TYPE } from "./body.ts";
import { findIn, Headers, type HeadersInit, headerList } from "./headers.ts";

/** What a response is made with. */
export interface ResponseInit {
  /** 200 by default; 101 and 200 to 599. */
  status?: number;
  statusText?: string;
  headers?: HeadersInit;
}

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const NOT_IN_URL = /[^\x21-\x7e]+/g;
const TEXT = /^[\t\x20-\x7e\x80-\xff]*$/;

/** These never have a body (RFC 9110, 6.4.1). */
export function isBodiless(status: number): boolean {
  return status === 204 || status === 205 || status === 304 || status < 200;
}

/**
 * A response, for a handler to return.
 *
 * @example
 * import { Response } from "coronet/http";
 * const response = Response.json({ ok: true }, { status: 201 });
 * console.log(response.status, response.headers.get("content-type"), await response.json());
 * // 201 application/json { ok: true }
 */
export class Response extends Body {
  protected code: number;
  protected phrase: string;
  protected failed: boolean;
  /** The type that the body brings along, while there is no list. */
  private kind: string | undefined;
  protected list: string[] | undefined;
  protected made: Headers | undefined;

  constructor(body?: BodyInit | null, init?: ResponseInit) {
    if (typeof body === "string") {
      super(body);
      this.kind = TEXT_TYPE;
    } else if (body === null || body === undefined) {
      super(null);
      this.kind = undefined;
    } else {
      const { source, type } = sourceOf(body);
      super(source);
      this.kind = type;
    }
    this.code = 200;
    this.phrase = "";
    this.failed = false;
    this.list = undefined;
    this.made = undefined;
    if (init !== undefined && init !== null) this.setUp(init);
  }

  private setUp(init: ResponseInit): void {
    if (typeof init !== "object" && typeof init !== "function") {
      throw new TypeError(`Response: expected an object with status and headers, got ${init}`);
    }
    const { status, statusText, headers } = init;
    if (status !== undefined) {
      const code = Math.trunc(Number(status));
      if (!(Number.isInteger(code) && (code === 101 || (code >= 200 && code <= 599)))) {
        throw new RangeError(`Response: expected a status from 200 to 599 or 101, got ${status}`);
      }
      if (isBodiless(code) && this.source !== null) {
        throw new TypeError(`Response: a response of status ${code} has no body`);
      }
      this.code = code;
    }
    if (statusText !== undefined) {
      this.phrase = String(statusText);
      if (!TEXT.test(this.phrase))
        throw new TypeError("Response: statusText is not a line of latin1");
    }
    if (headers !== undefined) {
      const list = headerList(headers);
      const { kind } = this;
      if (kind !== undefined && findIn(list, "content-type") === null) {
        list.push("content-type", kind);
      }
      this.list = list;
    }
  }

  /** A response of a value in JSON. */
  static json(value: unknown, init?: ResponseInit): Response {
    const text = JSON.stringify(value);
    if (text === undefined) throw new TypeError("Response.json: the value has no form in JSON");
    const response = new Response(text, init);
    const { list } = response;
    if (list === undefined) response.kind = "application/json";
    // The last one is the text's own, unless the caller gave one.
    else if (list.at(-1) === TEXT_TYPE && list.at(-2) === "content-type") {
      list[list.length - 1] = givesType(init) ? TEXT_TYPE : "application/json";
    }
    return response;
  }

  /** A redirect to another url; one that is relative to the request's is sent as it is. */
  static redirect(url: string | URL, status = 302): Response {
    const code = Number(status);
    if (!REDIRECTS.has(code)) {
      throw new RangeError(`Response.redirect: ${status} is no status of a redirect`);
    }
    const text = String(url);
    const location = URL.canParse(text)
      ? new URL(text).href
      : text.replace(NOT_IN_URL, encodeURIComponent);
    return new Response(null, { status: code, headers: { location } });
  }

  /** A response that stands for a failure of the network: a server resets the connection. */
  static error(): Response {
    const response = new Response();
    response.code = 0;
    response.failed = true;
    return response;
  }

  /** @internal One of the global class's, as ours; its body is taken over. */
  static from(other: globalThis.Response): Response {
    if (other.bodyUsed) throw new TypeError("the response's body has been used already");
    const response = new Response();
    response.code = other.status;
    response.phrase = other.statusText;
    response.failed = other.type === "error";
    response.list = headerList(other.headers);
    response.source = other.body as Source;
    return response;
  }

  /** @internal Takes over what is known to be right: a list of headers, and a body in the form it is kept in. */
  static ofParts(status: number, list: string[], source: Source): Response {
    const response = new Response();
    response.code = status;
    response.list = list;
    response.source = source;
    return response;
  }

  get status(): number {
    return this.code;
  }

  get statusText(): string {
    return this.phrase;
  }

  /** True for a status from 200 to 299. */
  get ok(): boolean {
    return this.code >= 200 && this.code <= 299;
  }

  override get headers(): Headers {
    if (this.made === undefined) {
      this.list ??= this.kind === undefined ? [] : ["content-type", this.kind];
      this.made = Headers.ofList(this.list);
    }
    return this.made;
  }

  get type(): "basic" | "default" | "error" {
    return this.failed ? "error" : "default";
  }

  get url(): string {
    return "";
  }

  get redirected(): boolean {
    return false;
  }

  /** A second response of the same content. */
  clone(): Response {
    const source: Source = this.fork();
    const copy = new Response();
    copy.source = source;
    copy.code = this.code;
    copy.phrase = this.phrase;
    copy.failed = this.failed;
    copy.kind = this.kind;
    copy.list = this.list === undefined ? undefined : [...this.list];
    return copy;
  }

  get [Symbol.toStringTag](): string {
    return "Response";
  }

  /** @internal Its headers, names and values in turn; undefined when there is a `bodyType` at most. */
  get headerList(): readonly string[] | undefined {
    return this.list;
  }

  /** @internal Fields that are written as they are: a Date among them, and nothing that is the server's to say. */
  get passedText(): string | undefined {
    return undefined;
  }

  /** @internal The Content-Length that goes with them; -1 without one. */
  get passedLength(): number {
    return -1;
  }

  /** @internal The type that its body brings along. */
  get bodyType(): string | undefined {
    return this.kind;
  }
}

function givesType(init: ResponseInit | undefined): boolean {
  return new Headers(init?.headers).has("content-type");
}

asGlobal(Response, globalThis.Response);

/** True for this class's own, which can be written without a copy. */
export function isOurs(value: unknown): value is Response {
  return value !== null && typeof value === "object" && "headerList" in value;
}
