/**
 * coronet/http: an HTTP server and client on the poller. This file is its public surface, and nothing else.
 */
export {
  AccessLog,
  type AccessLogOptions,
  combined,
  type LogFormat,
} from "./access_log.ts";
export type { BodyInit } from "./body.ts";
export { Client, fetch } from "./client/client.ts";
export { FetchError, type FetchPhase } from "./client/errors.ts";
export type { ClientOptions, FetchInit, FetchTimeouts, ResponseLimits } from "./client/options.ts";
export type { ClientTlsOptions } from "./client/tls.ts";
export { type ConnHandlerInfo, type HttpHandler, httpHandler } from "./conn_handler.ts";
export type { Answer, Handler } from "./connection.ts";
export { HTTPError } from "./errors.ts";
export { type EventSourceLike, events, type ReceivedEvent } from "./events/events.ts";
export {
  type EventStreamOptions,
  eventStream,
  lastEventId,
  type ServerSentEvent,
} from "./events/stream.ts";
export {
  type FileHandler,
  type FileOptions,
  fileResponse,
  type ServeFilesOptions,
  serveFiles,
} from "./files.ts";
export { Headers, type HeadersInit } from "./headers.ts";
export type { RequestInfo } from "./info.ts";
export type { ServerHooks, ServerStats } from "./observe.ts";
export type { Limits, ServeOptions } from "./options.ts";
export type { CheckOptions, Choose, ProxyOptions, UpstreamOptions } from "./proxy/options.ts";
export { type ReverseProxy, reverseProxy } from "./proxy/proxy.ts";
export type { Upstream } from "./proxy/upstream.ts";
export type { ResponseRecord } from "./record.ts";
export { Request, type RequestInit } from "./request.ts";
export { Response, type ResponseInit } from "./response.ts";
export { type Server, serve } from "./serve.ts";
export { type NodeHandlerInfo, type NodeServer, nodeHandler, serveNode } from "./serve_node.ts";
export { type Message, type Sendable, WebSocketConn } from "./websocket/conn.ts";
export { type DialWebSocketOptions, dialWebSocket } from "./websocket/dial.ts";
export { WebSocketError } from "./websocket/errors.ts";
export type { CompressionOptions, WebSocketOptions } from "./websocket/options.ts";
export { type UpgradeOptions, upgradeWebSocket } from "./websocket/upgrade.ts";
