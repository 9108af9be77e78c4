/** handshake.ts: what both sides of an opening handshake compute and compare (RFC 6455, 4). */
import { createHash } from "node:crypto";
import type { CompressionOptions } from "./options.ts";
import { type Extensions, extension, PerMessageDeflate, subprotocol } from "./ws.ts";

export const VERSION = "13";
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/** 16 bytes in base64. */
const KEY = /^[+/0-9A-Za-z]{22}==$/;

export function isKey(key: string | null): key is string {
  return key !== null && KEY.test(key);
}

/** The server's answer to a client's key. */
export function acceptOf(key: string): string {
  return createHash("sha1").update(`${key}${GUID}`).digest("base64");
}

/** The protocols a header lists; throws a SyntaxError. */
export function protocolsOf(header: string | null): Set<string> {
  return header === null ? new Set() : subprotocol.parse(header);
}

/** What was agreed about compression, and the header that says so; none of both without it. */
export interface Agreed {
  extensions: Extensions;
  header: string | undefined;
}

/** What a server makes of a client's offers. Throws for a header that is none. */
export function agree(
  header: string | null,
  compression: CompressionOptions | undefined,
  maxPayload: number,
): Agreed {
  const offers = header === null ? {} : extension.parse(header);
  const name = PerMessageDeflate.extensionName;
  const ours = offers[name];
  if (compression === undefined || ours === undefined) return { extensions: {}, header: undefined };
  const deflate = new PerMessageDeflate({ ...compression, isServer: true, maxPayload });
  let params: ReturnType<PerMessageDeflate["accept"]>;
  try {
    params = deflate.accept(ours);
  } catch {
    // None of the offers is one that can be taken: messages stay as they are (RFC 7692, 5).
    return { extensions: {}, header: undefined };
  }
  return { extensions: { [name]: deflate }, header: extension.format({ [name]: [params] }) };
}

/** What a client offers, and what comes of the server's answer. */
export class Offer {
  private readonly deflate: PerMessageDeflate | undefined;

  constructor(compression: CompressionOptions | undefined, maxPayload: number) {
    if (compression === undefined) return;
    this.deflate = new PerMessageDeflate({ ...compression, isServer: false, maxPayload });
  }

  /** The header; undefined when there is nothing to offer. */
  get header(): string | undefined {
    if (this.deflate === undefined) return undefined;
    return extension.format({ [PerMessageDeflate.extensionName]: this.deflate.offer() });
  }

  /** Throws when the server has chosen what was not offered. */
  answered(header: string | null): Extensions {
    if (header === null) return {};
    const chosen = extension.parse(header);
    const name = PerMessageDeflate.extensionName;
    const [first, ...others] = Object.keys(chosen);
    const params = chosen[name];
    if (this.deflate === undefined || first !== name || others.length > 0 || params?.length !== 1) {
      throw new Error(`the server has chosen extensions that were not offered: ${header}`);
    }
    this.deflate.accept(params);
    return { [name]: this.deflate };
  }
}
