/**
 * errors.ts: what a request fails with: what was asked for, of which address, and how far it had come.
 */
import { NetError } from "../../net/errors.ts";

/**
 * How far a request had come.
 *
 *   connect  a connection: waiting for a place in the pool, looking up the name, dialling, TLS
 *   send     the request is being sent
 *   head     the response's head is awaited
 *   body     the response's body is being read
 */
export type FetchPhase = "connect" | "send" | "head" | "body";

/** What an error of a request knows of it. */
export interface FetchErrorInit {
  method: string;
  url: string;
  network: string;
  address: string;
  phase: FetchPhase;
  code: string;
  /** What happened, in words. */
  text: string;
  hint?: string | undefined;
  timeout?: boolean;
  cause?: unknown;
}

/**
 * A request to a server failed. Its codes are those of a NetError, and
 *
 *   ERR_ALPN                   the server refuses HTTP/1.1, or chose another protocol: HTTP/2 alone, mostly
 *   ERR_RESPONSE_MALFORMED     what came is no response, or could be taken for two different ones
 *   ERR_RESPONSE_TOO_LARGE     its head or its trailers are beyond the limits
 *   ERR_RESPONSE_TRUNCATED     the connection ended inside of it
 *   ERR_RESPONSE_ENCODING      its body is not what its Content-Encoding says
 *   ERR_REDIRECT               a redirect that may not, or cannot, be followed
 *   CERT_HAS_EXPIRED, ERR_TLS_CERT_ALTNAME_INVALID, ERR_SSL_…
 *                              as dialTls: the server is not the one that was asked for, or speaks no TLS
 *
 * @example
 * import { FetchError, fetch } from "coronet/http";
 * try {
 *   await fetch("http://127.0.0.1:1/");
 * } catch (error) {
 *   if (error instanceof FetchError) console.log(error.phase, error.code); // connect ECONNREFUSED
 * }
 */
export class FetchError extends NetError {
  override readonly name: string = "FetchError";
  readonly method: string;
  readonly url: string;
  readonly phase: FetchPhase;

  constructor(init: FetchErrorInit) {
    const { method, url, network, address, phase, code, hint, timeout = false, cause } = init;
    const text = `${method} ${url}: ${init.text}`;
    super({ op: "fetch", network, address, code, text, hint, timeout, cause });
    this.method = method;
    this.url = url;
    this.phase = phase;
  }
}

const DOING: Record<FetchPhase, string> = {
  connect: "connecting failed",
  send: "the request could not be sent",
  head: "no response came",
  body: "the response broke off",
};

/** In which words each of them runs out of time. */
const WAITED: Record<FetchPhase, string> = {
  connect: "no connection in time",
  send: "the server took nothing more of the request in time",
  head: "no response in time",
  body: "the response's body stood still for too long",
};

/** What a request's connection failed with, as the request's error. */
export function failureOf(
  error: unknown,
  what: { method: string; url: string; network: string; address: string },
  phase: FetchPhase,
): FetchError {
  if (error instanceof FetchError) return error;
  const { method, url, network, address } = what;
  const { code = "ERR_FAILED", message = String(error) } = (error ?? {}) as {
    code?: string;
    message?: string;
  };
  const timeout = (error as { timeout?: boolean } | undefined)?.timeout === true;
  const text = timeout ? WAITED[phase] : `${DOING[phase]}: ${reasonIn(message)}`;
  return new FetchError({
    method,
    url,
    network,
    address,
    phase,
    code,
    text,
    timeout,
    hint: hintIn(message),
    cause: error,
  });
}

/** What to do about it: behind the code. */
function hintIn(message: string): string | undefined {
  return / \([A-Z_\d]+\)(?:, [^;]*)?; (.+)$/.exec(message)?.[1];
}

/** A NetError's message says operation and addresses before the reason, and its code behind. */
function reasonIn(message: string): string {
  const end = message.search(/ \([A-Z_\d]+\)(?:;|,|$)/);
  if (end === -1) return message;
  const head = message.slice(0, end);
  return head.slice(head.lastIndexOf(": ") + (head.includes(": ") ? 2 : 1));
}
