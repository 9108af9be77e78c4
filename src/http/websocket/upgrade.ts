/** upgrade.ts: a server's side of the opening handshake (RFC 6455, 4.2). */
import type { BaseConn } from "../../net/conn.ts";
import { HTTPError } from "../errors.ts";
import { Headers, type HeadersInit } from "../headers.ts";
import type { RequestInfo } from "../info.ts";
import type { Request } from "../request.ts";
import { WebSocketConn } from "./conn.ts";
import { type Agreed, acceptOf, agree, isKey, protocolsOf, VERSION } from "./handshake.ts";
import { settingsOf, type WebSocketOptions } from "./options.ts";

export interface UpgradeOptions extends WebSocketOptions {
  /** Subprotocols that can be spoken: the first one of the client's list that is here is chosen. */
  protocols?: readonly string[];
  /** More headers of the response. */
  headers?: HeadersInit;
}

const FIELDS = ["sec-websocket-accept", "sec-websocket-protocol", "sec-websocket-extensions"];

/**
 * Makes a request's connection a WebSocket, which is the handler's from now on: it closes it, and what it
 * returns is not looked at. Ask before whether the client may: browsers send `Origin` and cookies from
 * any page there is.
 *
 * Throws an HTTPError when the request does not ask for a WebSocket, or for another version: let through,
 * it answers 400 or 426.
 *
 * @example
 * import { dialWebSocket, Response, serve, upgradeWebSocket } from "coronet/http";
 * await using server = await serve("127.0.0.1:0", async (request, info) => {
 *   if (request.headers.get("upgrade") !== "websocket") return new Response("try a WebSocket");
 *   await using socket = await upgradeWebSocket(request, info, { maxPayload: 65_536 });
 *   for await (const message of socket) await socket.send(`you said ${message}`);
 *   return undefined;
 * });
 * await using socket = await dialWebSocket(`ws://${server.addr}/`);
 * await socket.send("hello");
 * console.log(await socket.receive()); // you said hello
 */
export async function upgradeWebSocket(
  request: Request,
  info: RequestInfo,
  options: UpgradeOptions = {},
): Promise<WebSocketConn> {
  const settings = settingsOf(options, true);
  const { headers } = request;
  const key = headers.get("sec-websocket-key");
  check(request, info, key);
  const protocol = chosen(headers.get("sec-websocket-protocol"), options.protocols ?? []);
  const offers = headers.get("sec-websocket-extensions");
  const { compression, maxPayload } = settings;
  const agreed = parsed(() => agree(offers, compression, maxPayload), "Sec-WebSocket-Extensions");
  const answer = responseHeaders(key as string, protocol, agreed, options.headers);
  const conn = (await info.upgrade(answer)) as BaseConn;
  const { extensions } = agreed;
  return new WebSocketConn(conn, { isServer: true, protocol, extensions, settings });
}

function check(request: Request, info: RequestInfo, key: string | null): void {
  const { headers, method } = request;
  if (!info.wantsUpgrade || headers.get("upgrade")?.toLowerCase() !== "websocket") {
    throw new HTTPError(426, "ERR_WS_HANDSHAKE", "expected an upgrade to websocket", undefined, {
      upgrade: "websocket",
    });
  }
  if (method !== "GET" || info.source !== null) {
    throw refused("a WebSocket begins with a GET that has no body");
  }
  if (headers.get("sec-websocket-version") !== VERSION) {
    const text = `expected Sec-WebSocket-Version ${VERSION}`;
    throw new HTTPError(426, "ERR_WS_HANDSHAKE", text, undefined, {
      upgrade: "websocket",
      "sec-websocket-version": VERSION,
    });
  }
  if (!isKey(key)) throw refused("Sec-WebSocket-Key is not 16 bytes in base64");
}

function refused(text: string, cause?: unknown): HTTPError {
  return new HTTPError(400, "ERR_WS_HANDSHAKE", text, cause);
}

function parsed<T>(parse: () => T, name: string): T {
  try {
    return parse();
  } catch (error) {
    throw refused(`${name} is malformed`, error);
  }
}

function chosen(header: string | null, spoken: readonly string[]): string {
  const wanted = parsed(() => protocolsOf(header), "Sec-WebSocket-Protocol");
  for (const protocol of wanted) if (spoken.includes(protocol)) return protocol;
  return "";
}

function responseHeaders(
  key: string,
  protocol: string,
  agreed: Agreed,
  more: HeadersInit | undefined,
): Headers {
  const headers = new Headers(more);
  for (const name of FIELDS) headers.delete(name);
  headers.set("sec-websocket-accept", acceptOf(key));
  if (protocol !== "") headers.set("sec-websocket-protocol", protocol);
  if (agreed.header !== undefined) headers.set("sec-websocket-extensions", agreed.header);
  return headers;
}
