/**
 * coronet/http: an HTTP/1.1 server on the poller. This file is its public surface, and nothing else.
 */
export {
  AccessLog,
  type AccessLogOptions,
  combined,
  type LogFormat,
} from "./access_log.ts";
export type { BodyInit } from "./body.ts";
export type { Answer, Handler } from "./connection.ts";
export { HTTPError } from "./errors.ts";
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
export type { ResponseRecord } from "./record.ts";
export { Request, type RequestInit } from "./request.ts";
export { Response, type ResponseInit } from "./response.ts";
export { type Server, serve } from "./serve.ts";
