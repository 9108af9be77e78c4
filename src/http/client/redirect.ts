/**
 * redirect.ts: what the next request of a redirect is (fetch.spec.whatwg.org, HTTP-redirect fetch).
 */
import type { Source } from "../body.ts";
import type { Place } from "./place.ts";

/** A request, as far as a redirect changes it. */
export interface Redirected {
  method: string;
  place: Place;
  headers: string[];
  source: Source;
}

const STATUSES = new Set([301, 302, 303, 307, 308]);

/** These describe a body. */
const OF_BODY = new Set([
  "content-encoding",
  "content-language",
  "content-length",
  "content-location",
  "content-type",
  "expect",
]);

/** These are meant for one origin. */
const OF_ORIGIN = new Set(["authorization", "cookie", "host", "proxy-authorization"]);

export function isRedirect(status: number): boolean {
  return STATUSES.has(status);
}

/** Where it leads. Throws an Error that says why it cannot be followed. */
export function locationOf(value: string, from: URL): URL {
  let url: URL;
  try {
    // Bytes above ASCII are UTF-8 in practice, whatever the standard of headers says.
    url = new URL(Buffer.from(value, "latin1").toString("utf8"), from);
  } catch {
    throw new Error(`its Location is no url: ${JSON.stringify(value.slice(0, 200))}`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new Error(`it leads to ${url.protocol}`);
  }
  if (url.username !== "" || url.password !== "") {
    throw new Error("it leads to a url with a user name or password");
  }
  if (url.hash === "") url.hash = from.hash;
  return url;
}

/** The request that follows a redirect. Throws an Error for a body that was a stream and is spent. */
export function nextRequest(request: Redirected, status: number, place: Place): Redirected {
  let { method, headers, source } = request;
  const toGet =
    ((status === 301 || status === 302) && method === "POST") ||
    (status === 303 && method !== "GET" && method !== "HEAD");
  if (toGet) {
    method = "GET";
    source = null;
    headers = without(headers, OF_BODY);
  } else if (source !== null && typeof source !== "string" && !(source instanceof Uint8Array)) {
    throw new Error("the request's body was a stream, which cannot be sent again");
  }
  if (place.origin.name !== request.place.origin.name) headers = without(headers, OF_ORIGIN);
  return { method, place, headers, source };
}

function without(headers: readonly string[], names: ReadonlySet<string>): string[] {
  const kept: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    if (!names.has(headers[i] as string)) kept.push(headers[i] as string, headers[i + 1] as string);
  }
  return kept;
}
