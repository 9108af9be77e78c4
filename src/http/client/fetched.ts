/**
 * fetched.ts: the Response that fetch gives: made from what the parser has found when somebody asks.
 */
import { IncomingSource, type Source } from "../body.ts";
import { Headers } from "../headers.ts";
import { Response } from "../response.ts";

/** Fields that say something of one connection, and nothing of the message (RFC 9110, 7.6.1). */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

export interface FetchedParts {
  code: number;
  phrase: string;
  text: string;
  spans: readonly number[];
  source: Source;
  url: string;
  redirected: boolean;
  /** The body has been decoded: its length and coding are no longer those of the head. */
  decoded: boolean;
}

/**
 * A response that has been fetched. It may be returned from a handler as it is: what belongs to the
 * connection that it came on is left out then.
 */
export class FetchedResponse extends Response {
  private readonly from: string;
  private readonly moved: boolean;
  private readonly decoded: boolean;
  private readonly arriving: IncomingSource | undefined;

  /** @internal */
  constructor({ code, phrase, text, spans, source, url, redirected, decoded }: FetchedParts) {
    super();
    this.source = source;
    this.code = code;
    this.phrase = phrase;
    this.made = Headers.ofHead(text, spans);
    this.from = url;
    this.moved = redirected;
    this.decoded = decoded;
    this.arriving = source instanceof IncomingSource ? source : undefined;
  }

  /** The url that answered: of the last redirect. */
  override get url(): string {
    return this.from;
  }

  /** True when it is the answer to a redirect. */
  override get redirected(): boolean {
    return this.moved;
  }

  override get type(): "basic" {
    return "basic";
  }

  /** The trailers of a chunked body; complete once the body has been read to its end. */
  get trailers(): Headers {
    const headers = new Headers();
    const list = this.arriving?.incoming.trailers ?? [];
    for (let i = 0; i < list.length; i += 2) headers.append(list[i] as string, list[i + 1] ?? "");
    return headers;
  }

  override clone(): FetchedResponse {
    const source = this.fork();
    const { code, phrase, from, moved, decoded } = this;
    const parts = { code, phrase, text: "", spans: [], source, url: from, redirected: moved };
    const copy = new FetchedResponse({ ...parts, decoded });
    copy.made = new Headers(this.headers);
    return copy;
  }

  /** @internal For a server that passes it on. */
  override get headerList(): readonly string[] {
    const list = this.headers.ownList();
    const kept: string[] = [];
    for (let i = 0; i < list.length; i += 2) {
      const name = list[i] as string;
      if (HOP_BY_HOP.has(name)) continue;
      if (this.decoded && (name === "content-encoding" || name === "content-length")) continue;
      kept.push(name, list[i + 1] as string);
    }
    return kept;
  }
}
