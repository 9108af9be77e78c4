/** errors.ts: the error of a WebSocket: one of the net package, with the code of RFC 6455. */
import { NetError, type NetErrorInit } from "../../net/errors.ts";

/** Codes of RFC 6455, 7.4.1, that are used here. */
export const NORMAL = 1000;
export const PROTOCOL_ERROR = 1002;
export const NO_CODE = 1005;
export const ABNORMAL = 1006;
export const INVALID_DATA = 1007;
export const POLICY = 1008;
export const TOO_LARGE = 1009;
export const INTERNAL_ERROR = 1011;

export interface WebSocketErrorInit extends NetErrorInit {
  closeCode: number;
  reason?: string | undefined;
  status?: number | undefined;
}

/**
 * A WebSocket failed. `code` says how:
 *
 *   ERR_WS_ABNORMAL       the connection ended without a closing handshake: `cause` says more
 *   ERR_WS_PROTOCOL       the peer broke the protocol, or a limit; it was told so with `closeCode`
 *   ERR_WS_PING_TIMEOUT   the peer did not answer a ping
 *   ERR_WS_CLOSE_TIMEOUT  the peer did not take part in the closing handshake
 *   ERR_WS_HANDSHAKE      a server would not make it a WebSocket: `status` is what it answered
 *   ERR_CLOSED            it is closed already
 *
 * A deadline that passes (ERR_DEADLINE) and a signal that is aborted (ERR_CANCELED) are no WebSocketErrors, and
 * leave the socket usable.
 */
export class WebSocketError extends NetError {
  override readonly name: string = "WebSocketError";
  /** As of a close event: 1006 when there was no closing handshake. */
  readonly closeCode: number;
  /** What the peer gave as its reason for closing. */
  readonly reason: string;
  /** The status of the response to a handshake. */
  readonly status: number | undefined;

  constructor(init: WebSocketErrorInit) {
    super(init);
    this.closeCode = init.closeCode;
    this.reason = init.reason ?? "";
    this.status = init.status;
  }
}

/** The close code for what ws's parser, or zlib below it, found wrong. */
export function closeCodeOf(error: unknown): number {
  const { code } = error as { code?: string };
  switch (code) {
    case "WS_ERR_INVALID_UTF8":
      return INVALID_DATA;
    case "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH":
    case "WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH":
      return TOO_LARGE;
    case "WS_ERR_TOO_MANY_BUFFERED_PARTS":
      return POLICY;
    default:
      return code?.startsWith("WS_ERR_") === true ? PROTOCOL_ERROR : INVALID_DATA;
  }
}
