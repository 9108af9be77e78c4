/** errors.ts: the error of a request that goes wrong while its handler reads it. */

/**
 * A request's body cannot be read to its end, or its url is none. A handler that lets it through answers with its status.
 *
 *   400  malformed           ERR_BODY_MALFORMED, ERR_URL_INVALID
 *   408  too slow            ERR_BODY_TIMEOUT
 *   413  beyond the limit    ERR_BODY_TOO_LARGE
 *   431  trailers too long   ERR_TRAILERS_TOO_LARGE
 *   0    the client is gone  ERR_BODY_ABORTED
 *   0    the request is over ERR_BODY_OVER
 *   400  no WebSocket        ERR_WS_HANDSHAKE, also 426
 *   0    the client has left while its request was passed on  ERR_CLIENT_GONE
 */
export class HTTPError extends Error {
  override readonly name: string = "HTTPError";
  /** The status of the response to it; 0 when there is nobody to respond to. */
  readonly status: number;
  readonly code: string;
  /** More headers of that response. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: string,
    message: string,
    cause?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(`${message} (${code})`, cause === undefined ? undefined : { cause });
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

const CODES = new Map<number, string>([
  [408, "ERR_BODY_TIMEOUT"],
  [413, "ERR_BODY_TOO_LARGE"],
  [431, "ERR_TRAILERS_TOO_LARGE"],
]);

/** The error of a body that a parser has refused. */
export function bodyError(status: number, reason: string, cause?: unknown): HTTPError {
  const code = CODES.get(status) ?? "ERR_BODY_MALFORMED";
  return new HTTPError(status, code, `request body: ${reason}`, cause);
}
