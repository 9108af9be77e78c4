/**
 * https_served.ts: a module of workers that speak HTTPS, for https_workers.test.ts. `data` says
 * { cert, key, files?, ticketKeys? }: with `files` certificate and key are read anew by each worker, and
 * `ticketKeys` are those of several processes.
 *
 *   /id       "ID PROTOCOL REUSED" of the worker and the connection
 *   /slow     the same, 20 ms later
 *   /last     the same, when the worker is to end
 *   /never    nothing, until the connection is closed
 *   /renew    exchanges the certificate of this worker for the one in the body
 */
import { readFileSync } from "node:fs";
import { type Handler, type HttpHandler, httpHandler, Response } from "../../src/http/index.ts";
import {
  type ConnHandler,
  type ServerHandler,
  sleep,
  type TlsConn,
  type TlsServerOptions,
} from "../../src/index.ts";

interface Data {
  tls: TlsServerOptions;
  /** Files that hold certificate and key, instead of `tls`. */
  files?: [cert: string, key: string];
}

interface Info {
  id: number;
  data: Data;
  signal: AbortSignal;
}

let worker: Info;
let handler: HttpHandler;

const handle: Handler = async (request, info) => {
  const { pathname } = new URL(request.url);
  if (pathname === "/renew") handler.setSecureContext(await request.json());
  if (pathname === "/slow") await sleep(20);
  if (pathname === "/last") {
    await new Promise((resolve) => worker.signal.addEventListener("abort", resolve));
  }
  if (pathname === "/never") {
    await new Promise((resolve) => request.signal.addEventListener("abort", resolve));
  }
  const { alpnProtocol, sessionReused } = info.conn as TlsConn;
  return new Response(`${worker.id} ${alpnProtocol} ${sessionReused}`);
};

export function start(info: Info): void {
  worker = info;
  const { tls, files } = info.data;
  const read = files?.map((path) => readFileSync(path, "utf8"));
  handler = httpHandler(handle, {
    tls: read === undefined ? tls : { ...tls, cert: read[0] as string, key: read[1] as string },
  });
}

const serve: ServerHandler<Data> & ConnHandler = (conn, info) => handler(conn, info as never);
export default serve;
