/**
 * passed.ts: a response on its way through a proxy: another server's, as it came.
 *
 * Its fields are text, and are written as that. They become headers when somebody asks for them.
 */
import type { Exchange } from "../client/exchange.ts";
import type { Headers } from "../headers.ts";
import { Response } from "../response.ts";
import { listOf, responseText } from "./fields.ts";

export class PassedResponse extends Response {
  private readonly fields: string;
  /** Content-Length; -1 without one. */
  private readonly declared: number;

  constructor(exchange: Exchange) {
    super();
    const { parser } = exchange;
    this.code = parser.code;
    this.phrase = parser.phrase;
    this.fields = responseText(parser);
    this.declared = parser.contentLength;
    this.source = exchange.takeSource();
  }

  private makeList(): string[] {
    const list = listOf(this.fields);
    if (this.declared !== -1) list.push("content-length", String(this.declared));
    return list;
  }

  override get headers(): Headers {
    this.list ??= this.makeList();
    return super.headers;
  }

  override get headerList(): readonly string[] {
    this.list ??= this.makeList();
    return this.list;
  }

  override clone(): Response {
    this.list ??= this.makeList();
    return super.clone();
  }

  /** @internal */
  override get passedText(): string | undefined {
    return this.list === undefined ? this.fields : undefined;
  }

  /** @internal */
  override get passedLength(): number {
    return this.declared;
  }
}
