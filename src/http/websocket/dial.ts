/** dial.ts: dialWebSocket(): a client's side of the opening handshake (RFC 6455, 4.1). */
import { randomBytes } from "node:crypto";
import { readChunk } from "../../io/io.ts";
import type { BaseConn, Conn } from "../../net/conn.ts";
import { type DialOptions, dial } from "../../net/dial.ts";
import type { TlsClientOptions } from "../../tls/options.ts";
import { dialTls } from "../../tls/secure.ts";
import { Headers, type HeadersInit, headerList } from "../headers.ts";
import { WebSocketConn } from "./conn.ts";
import { ABNORMAL, WebSocketError } from "./errors.ts";
import { acceptOf, Offer, VERSION } from "./handshake.ts";
import { settingsOf, type WebSocketOptions } from "./options.ts";
import type { Extensions } from "./ws.ts";

export interface DialWebSocketOptions extends WebSocketOptions, DialOptions {
  /** Subprotocols, the best one first; the server has to choose one of them. */
  protocols?: readonly string[];
  /** More headers of the request: Origin, Cookie, Authorization, … */
  headers?: HeadersInit;
  /** For `wss:`: ca, cert and key, servername, rejectUnauthorized, …, as dialTls takes them. */
  tls?: Omit<TlsClientOptions, "ALPNProtocols">;
  /** A connection to use instead of dialling one: to a unix socket, through a proxy. */
  conn?: Conn;
}

/** Of a response's head, in bytes. */
const LONGEST_HEAD = 16_384;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** What the handshake says by itself. */
const OWN = /^(?:connection|upgrade|host|sec-websocket-.*|content-length|transfer-encoding)$/;

/**
 * Opens a WebSocket to a url of `ws:` or `wss:`. `timeout` and `signal` hold for the whole of it, from looking up the
 * name to the server's response. A response other than 101 fails with a WebSocketError that has its status.
 *
 * @example
 * import { dialWebSocket, serve, upgradeWebSocket } from "coronet/http";
 * await using server = await serve("127.0.0.1:0", async (request, info) => {
 *   await using socket = await upgradeWebSocket(request, info, { protocols: ["clock"] });
 *   await socket.send(new Date().toISOString());
 *   return undefined;
 * });
 * const url = `ws://${server.addr}/time`;
 * await using socket = await dialWebSocket(url, { protocols: ["clock"], timeout: 5_000 });
 * for await (const message of socket) console.log(socket.protocol, message); // clock 2026-…
 */
export async function dialWebSocket(
  url: string | URL,
  options: DialWebSocketOptions = {},
): Promise<WebSocketConn> {
  const { protocols = [], headers, timeout, signal } = options;
  const settings = settingsOf(options, false);
  const to = targetOf(url);
  const offer = new Offer(settings.compression, settings.maxPayload);
  const key = randomBytes(16).toString("base64");
  const head = requestOf(to, key, protocols, offer, headers);
  const until = timeout ? new Date(Date.now() + timeout) : null;
  const conn = (options.conn ?? (await connect(to, options, until))) as BaseConn;
  try {
    conn.setDeadline(until);
    await conn.write(head, { signal });
    const answer = await readHead(conn, signal);
    const agreed = new Answer(conn, answer).check(key, protocols, offer);
    conn.setDeadline(null);
    return new WebSocketConn(conn, { isServer: false, ...agreed, settings });
  } catch (error) {
    await conn.close();
    throw error;
  }
}

function targetOf(text: string | URL): URL {
  const url = new URL(text);
  if (url.protocol !== "ws:" && url.protocol !== "wss:") {
    throw new TypeError(`dialWebSocket: expected a url of ws: or wss:, got ${url.protocol}`);
  }
  return url;
}

/** The connection below: where TLS comes in. */
function connect(url: URL, options: DialWebSocketOptions, until: Date | null): Promise<Conn> {
  const { hostname, port } = url;
  if (url.protocol === "ws:") {
    return dial("tcp", `${hostname}:${port === "" ? 80 : port}`, options);
  }
  const left = until === null ? undefined : Math.max(1, until.getTime() - Date.now());
  return dialTls("tcp", `${hostname}:${port === "" ? 443 : port}`, {
    ...options,
    ...(left === undefined ? {} : { handshakeTimeout: left }),
    ...options.tls,
    ALPNProtocols: ["http/1.1"],
  });
}

function requestOf(
  url: URL,
  key: string,
  protocols: readonly string[],
  offer: Offer,
  more: HeadersInit | undefined,
): Buffer {
  for (const [i, protocol] of protocols.entries()) {
    if (!TOKEN.test(protocol) || protocols.indexOf(protocol) !== i) {
      throw new SyntaxError(
        `dialWebSocket: protocol ${JSON.stringify(protocol)}: no token, or twice`,
      );
    }
  }
  const list = headerList(more);
  let text = `GET ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\n`;
  text += "Connection: Upgrade\r\nUpgrade: websocket\r\n";
  text += `Sec-WebSocket-Version: ${VERSION}\r\nSec-WebSocket-Key: ${key}\r\n`;
  if (protocols.length > 0) text += `Sec-WebSocket-Protocol: ${protocols.join(", ")}\r\n`;
  if (offer.header !== undefined) text += `Sec-WebSocket-Extensions: ${offer.header}\r\n`;
  if (url.username !== "" && !list.includes("authorization")) {
    const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    text += `Authorization: Basic ${Buffer.from(credentials).toString("base64")}\r\n`;
  }
  for (let i = 0; i < list.length; i += 2) {
    if (OWN.test(list[i] as string)) {
      throw new TypeError(`dialWebSocket: header ${list[i]} is the handshake's own`);
    }
    text += `${list[i]}: ${list[i + 1]}\r\n`;
  }
  return Buffer.from(`${text}\r\n`, "latin1");
}

/** Reads up to the end of a head, which is left out, and puts back what stands behind it. */
async function readHead(conn: BaseConn, signal: AbortSignal | undefined): Promise<string> {
  let head = Buffer.alloc(0);
  for (;;) {
    const chunk = await conn[readChunk]({ signal });
    if (chunk === null)
      throw failure(conn, "the server has ended the connection instead of answering");
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf("\r\n\r\n");
    if (end >= 0 && end <= LONGEST_HEAD) {
      conn.unread(head.subarray(end + 4));
      return head.toString("latin1", 0, end);
    }
    if (head.length > LONGEST_HEAD) throw failure(conn, "the response's head is too long");
  }
}

function failure(conn: BaseConn, text: string, status?: number, cause?: unknown): WebSocketError {
  return new WebSocketError({
    op: "dial",
    network: conn.network,
    address: String(conn.remoteAddr),
    code: "ERR_WS_HANDSHAKE",
    text,
    closeCode: ABNORMAL,
    status,
    cause,
  });
}

/** What a server answered to the handshake. */
class Answer {
  private readonly conn: BaseConn;
  private readonly status: number;
  private readonly headers = new Headers();

  constructor(conn: BaseConn, head: string) {
    this.conn = conn;
    const [first, ...lines] = head.split("\r\n");
    const [, status] = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(first as string) ?? [];
    if (status === undefined) throw failure(conn, "the response is none of HTTP/1.1");
    this.status = Number(status);
    for (const line of lines) {
      const colon = line.indexOf(":");
      try {
        this.headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
      } catch (cause) {
        throw this.failed("the response has a malformed header", cause);
      }
    }
  }

  check(
    key: string,
    protocols: readonly string[],
    offer: Offer,
  ): { protocol: string; extensions: Extensions } {
    const { headers, status } = this;
    if (status !== 101) throw this.failed(`the server answered ${status} instead of 101`);
    const connection = (headers.get("connection") ?? "").toLowerCase().split(/[ \t]*,[ \t]*/);
    if (headers.get("upgrade")?.toLowerCase() !== "websocket" || !connection.includes("upgrade")) {
      throw this.failed("the response does not upgrade to websocket");
    }
    if (headers.get("sec-websocket-accept") !== acceptOf(key)) {
      throw this.failed("Sec-WebSocket-Accept is not the answer to the key");
    }
    const protocol = headers.get("sec-websocket-protocol") ?? "";
    if (protocol === "" ? protocols.length > 0 : !protocols.includes(protocol)) {
      throw this.failed(
        `the server has chosen protocol "${protocol}" of "${protocols.join(", ")}"`,
      );
    }
    try {
      const extensions = offer.answered(headers.get("sec-websocket-extensions"));
      return { protocol, extensions };
    } catch (cause) {
      throw this.failed((cause as Error).message, cause);
    }
  }

  private failed(text: string, cause?: unknown): WebSocketError {
    return failure(this.conn, text, this.status, cause);
  }
}
