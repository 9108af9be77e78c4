/** passed.ts: a response on its way through a proxy: another server's, as it came. */
import type { Source } from "../body.ts";
import { Response } from "../response.ts";

export class PassedResponse extends Response {
  constructor(code: number, phrase: string, list: string[], source: Source) {
    super();
    this.code = code;
    this.phrase = phrase;
    this.list = list;
    this.source = source;
  }
}
