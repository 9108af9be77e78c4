/**
 * coronet/http: an HTTP/1.1 server on the poller. This file is its public surface, and nothing else.
 */
export type { BodyInit } from "./body.ts";
export type { Answer, Handler } from "./connection.ts";
export { HTTPError } from "./errors.ts";
export { type EventSourceLike, events, type ReceivedEvent } from "./events/events.ts";
export {
  type EventStreamOptions,
  eventStream,
  lastEventId,
  type ServerSentEvent,
} from "./events/stream.ts";
export { Headers, type HeadersInit } from "./headers.ts";
export type { RequestInfo } from "./info.ts";
export type { Limits, ServeOptions } from "./options.ts";
export { Request, type RequestInit } from "./request.ts";
export { Response, type ResponseInit } from "./response.ts";
export { type Server, serve } from "./serve.ts";
export { type Message, type Sendable, WebSocketConn } from "./websocket/conn.ts";
export { type DialWebSocketOptions, dialWebSocket } from "./websocket/dial.ts";
export { WebSocketError } from "./websocket/errors.ts";
export type { CompressionOptions, WebSocketOptions } from "./websocket/options.ts";
export { type UpgradeOptions, upgradeWebSocket } from "./websocket/upgrade.ts";
