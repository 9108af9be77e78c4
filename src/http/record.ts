/** record.ts: what is told of a response that has been sent: to hooks, and to an access log. */
import type { Addr } from "../net/addr.ts";
import type { Conn } from "../net/conn.ts";
import type { Request } from "./request.ts";

/** What a record is made of. */
export interface Told {
  readonly conn: Conn;
  /** undefined for a request that was refused before it was understood. */
  readonly request: Request | undefined;
  readonly target: string;
  /** 10, 11 or 20; 0 when unknown. */
  readonly version: number;
  readonly status: number;
  /** By performance.now(), and what that says now. */
  readonly started: number;
  readonly ended: number;
  readonly bytesSent: number;
  readonly headBytes: number;
  readonly complete: boolean;
  readonly notes: Readonly<Record<string, unknown>>;
}

const NO_NOTES: Readonly<Record<string, unknown>> = Object.freeze({});

/**
 * A response that has been sent, or as far as it went. What is behind a getter is looked up when it is asked
 * for: take it while you are told, for the request is not kept.
 */
export class ResponseRecord {
  /** The request; undefined when it was refused before it was understood. */
  readonly request: Request | undefined;
  /** The request target as it was sent; "" when it is not known. */
  readonly target: string;
  /** The status that was sent; 0 when there was none, because the connection was broken off. */
  readonly status: number;
  /** From the request's head to the last byte that the kernel took, in ms. */
  readonly duration: number;
  /** Bytes that the kernel took: of everything, and of the body with its framing. */
  readonly bytesSent: number;
  readonly bodyBytesSent: number;
  /** False when it broke off: the client went away, or the body failed. */
  readonly complete: boolean;
  /** What the handler noted in `info.notes`: times of upstreams, the name of a user, … */
  readonly notes: Readonly<Record<string, unknown>>;
  private readonly conn: Conn;
  private readonly versionNumber: number;

  /** @internal */
  constructor(told: Told) {
    this.request = told.request;
    this.target = told.target;
    this.status = told.status;
    this.duration = told.ended - told.started;
    this.bytesSent = told.bytesSent;
    this.bodyBytesSent = Math.max(0, told.bytesSent - told.headBytes);
    this.complete = told.complete;
    this.notes = told.notes;
    this.conn = told.conn;
    this.versionNumber = told.version;
  }

  /** @internal Of a request that was refused: what is known of its request line. */
  static refused(
    conn: Conn,
    target: string,
    version: number,
    status: number,
    sent: number,
  ): ResponseRecord {
    const now = performance.now();
    return new ResponseRecord({
      conn,
      request: undefined,
      target,
      version,
      status,
      started: now,
      ended: now,
      bytesSent: sent,
      headBytes: sent,
      complete: true,
      notes: NO_NOTES,
    });
  }

  /** "GET"; "" when it is not known. */
  get method(): string {
    return this.request?.method ?? "";
  }

  /** "HTTP/1.1", "HTTP/2.0"; "" when it is not known. */
  get version(): string {
    if (this.versionNumber === 0) return "";
    if (this.versionNumber === 20) return "HTTP/2.0";
    return this.versionNumber === 10 ? "HTTP/1.0" : "HTTP/1.1";
  }

  /** When the response had been sent. */
  get time(): Date {
    return new Date();
  }

  get remoteAddr(): Addr {
    return this.conn.remoteAddr;
  }

  get referer(): string | null {
    return this.header("referer");
  }

  get userAgent(): string | null {
    return this.header("user-agent");
  }

  /** What the client, or a proxy before this server, calls the request: X-Request-Id. */
  get requestId(): string | null {
    return this.header("x-request-id");
  }

  private header(name: string): string | null {
    return this.request?.headers.get(name) ?? null;
  }
}
