/**
 * access.ts: who may ask the inspector: those who have the token, from the inspector's own page.
 *
 *  - The token: 192 random bits, or one of the user's own. It comes in `Authorization: Bearer`, or in a
 *    cookie that scripts cannot read and that requests from other sites do not carry. Cookies do not know
 *    ports: the cookie's name has the inspector's.
 *  - Host must be an IP address or localhost: a name that somebody else's DNS leads here is refused.
 *  - Origin, where there is one, must be the page's own; a request without one must not come from another
 *    site or port by what the browser says of it (Sec-Fetch-Site).
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { isIP } from "node:net";
import type { Request } from "../../http/request.ts";

/** Why a request is refused: a status and a line. */
export interface Refusal {
  readonly status: number;
  readonly text: string;
}

const SHORTEST = 16;

export function newToken(): string {
  return randomBytes(24).toString("base64url");
}

/** Throws unless a token of the user's own will do. */
export function checkToken(token: unknown): asserts token is string {
  if (typeof token === "string" && /^[\w.~-]+$/.test(token) && token.length >= SHORTEST) return;
  throw new TypeError(
    `inspect: a token is at least ${SHORTEST} letters, digits or any of "._~-"; without one a random one is made`,
  );
}

/** "127.0.0.1:8080" → "127.0.0.1", "[::1]:80" → "::1" */
function hostname(host: string): string {
  const [, six, other = ""] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d+)?$/.exec(host) ?? [];
  return six ?? other;
}

export class Access {
  private readonly digest: Buffer;
  private readonly token: string;
  readonly cookieName: string;

  constructor(token: string, place: string) {
    this.token = token;
    this.digest = hash(token);
    this.cookieName = `coronet-inspect-${place.replaceAll(/[^\w]/g, "-")}`;
  }

  /** Of any request: where it may come from. A page may be come to by a link from anywhere. */
  foreign({ headers }: Request, isPage: boolean): Refusal | undefined {
    const host = headers.get("host") ?? "";
    const name = hostname(host);
    if (name !== "localhost" && isIP(name) === 0) {
      return { status: 421, text: "the Host of this server is an IP address or localhost" };
    }
    const origin = headers.get("origin");
    const site = headers.get("sec-fetch-site");
    const other = !isPage && site !== null && site !== "same-origin" && site !== "none";
    if (origin === null ? other : origin !== `http://${host}`) {
      return { status: 403, text: "requests from other origins are refused" };
    }
    return undefined;
  }

  /** Whether the request has the token. */
  allows({ headers }: Request): boolean {
    const bearer = /^Bearer +(\S+)$/i.exec(headers.get("authorization") ?? "")?.[1];
    return this.matches(bearer ?? this.fromCookie(headers.get("cookie") ?? ""));
  }

  private fromCookie(header: string): string {
    for (const part of header.split(";")) {
      const at = part.indexOf("=");
      if (part.slice(0, at).trim() === this.cookieName) return part.slice(at + 1).trim();
    }
    return "";
  }

  /** Takes the same time whatever is wrong with it. */
  matches(given: string): boolean {
    return timingSafeEqual(hash(given), this.digest);
  }

  /** What Set-Cookie says to one who had the token. */
  get cookie(): string {
    return `${this.cookieName}=${this.token}; Path=/; HttpOnly; SameSite=Strict`;
  }
}

function hash(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
