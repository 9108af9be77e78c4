/** options.ts: what a WebSocket may be told, on either side, and what holds when it is not. */

/** How messages are compressed (RFC 7692). */
export interface CompressionOptions {
  /** Messages below so many bytes are sent as they are. 1024. */
  threshold?: number;
  /** Each message is compressed by itself: less memory between messages, more bytes. */
  serverNoContextTakeover?: boolean;
  clientNoContextTakeover?: boolean;
  /** The compressors' windows, as powers of two: 8 to 15. */
  serverMaxWindowBits?: number;
  clientMaxWindowBits?: number;
}

export interface WebSocketOptions {
  /** Bytes of a message: beyond, the socket is closed with 1009. 16 MiB. */
  maxPayload?: number;
  /** Compresses messages when the peer does, too. False: it costs time, and some 300 kB for each socket. */
  perMessageDeflate?: boolean | CompressionOptions;
  /** After so many ms in which nothing came a ping is sent; null never. A server's 30 s, a client's null. */
  pingInterval?: number | null;
  /** So many ms after a ping in which nothing came the peer counts as gone. 10 s. */
  pingTimeout?: number;
  /** How long the closing handshake may take, in ms. 5 s. */
  closeTimeout?: number;
}

export interface WebSocketSettings {
  maxPayload: number;
  compression: CompressionOptions | undefined;
  pingInterval: number;
  pingTimeout: number;
  closeTimeout: number;
}

const MAX_PAYLOAD = 16 * 1024 * 1024;
const PING_INTERVAL_MS = 30_000;
const PING_TIMEOUT_MS = 10_000;
const CLOSE_TIMEOUT_MS = 5_000;
export const THRESHOLD = 1024;
/** The parser counts bytes in 32 bits. */
const LARGEST_PAYLOAD = 2 ** 31 - 1;

export function settingsOf(options: WebSocketOptions, isServer: boolean): WebSocketSettings {
  const { maxPayload = MAX_PAYLOAD, perMessageDeflate = false } = options;
  if (!(Number.isInteger(maxPayload) && maxPayload >= 1 && maxPayload <= LARGEST_PAYLOAD)) {
    throw new RangeError(
      `maxPayload: expected bytes from 1 to ${LARGEST_PAYLOAD}, got ${maxPayload}`,
    );
  }
  const { pingInterval = isServer ? PING_INTERVAL_MS : null } = options;
  return {
    maxPayload,
    compression: perMessageDeflate === true ? {} : perMessageDeflate || undefined,
    pingInterval: pingInterval === null ? Infinity : positive(pingInterval, "pingInterval"),
    pingTimeout: positive(options.pingTimeout ?? PING_TIMEOUT_MS, "pingTimeout"),
    closeTimeout: positive(options.closeTimeout ?? CLOSE_TIMEOUT_MS, "closeTimeout"),
  };
}

function positive(ms: number, name: string): number {
  if (typeof ms === "number" && ms > 0) return ms;
  throw new RangeError(`${name}: expected a positive number of ms, got ${ms}`);
}
