/** download.ts: a file that the page gets, from this thread or by another one's control socket. */
import { Response } from "../../http/response.ts";
import { SAFE } from "./assets.ts";

/** A file as JSON can say it. */
export interface SentDownload {
  body: string;
  /** The body is bytes, in base64. */
  binary: boolean;
  type: string;
  name: string;
}

export class Download {
  private readonly body: string | Uint8Array;
  private readonly type: string;
  private readonly name: string;

  constructor(body: string | Uint8Array, type: string, name: string) {
    this.body = body;
    this.type = type;
    this.name = name;
  }

  /** From what another thread's sent() gave. */
  static from({ body, binary, type, name }: SentDownload): Download {
    return new Download(binary ? Buffer.from(body, "base64") : body, type, name);
  }

  sent(): SentDownload {
    const { body, type, name } = this;
    if (typeof body === "string") return { body, binary: false, type, name };
    return { body: Buffer.from(body).toString("base64"), binary: true, type, name };
  }

  response(): Response {
    const disposition = `attachment; filename="${this.name}"`;
    const headers = { ...SAFE, "content-type": this.type, "content-disposition": disposition };
    return new Response(this.body, { headers });
  }
}
