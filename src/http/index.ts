/**
 * coronet/http: an HTTP/1.1 server on the poller. This file is its public surface, and nothing else.
 */
export type { BodyInit } from "./body.ts";
export { type ConnHandlerInfo, httpHandler } from "./conn_handler.ts";
export type { Answer, Handler } from "./connection.ts";
export { HTTPError } from "./errors.ts";
export { Headers, type HeadersInit } from "./headers.ts";
export type { RequestInfo } from "./info.ts";
export type { Limits, ServeOptions } from "./options.ts";
export { Request, type RequestInit } from "./request.ts";
export { Response, type ResponseInit } from "./response.ts";
export { type Server, serve } from "./serve.ts";
export { type NodeHandlerInfo, type NodeServer, nodeHandler, serveNode } from "./serve_node.ts";
