/** info.ts: what a handler is told beside the request. */
import type { Context } from "../context/context.ts";
import type { Addr } from "../net/addr.ts";
import type { Conn } from "../net/conn.ts";
import { type Incoming, IncomingSource } from "./body.ts";
import { Headers, type HeadersInit } from "./headers.ts";
import { Arrived } from "./request.ts";

/** What the info needs of its connection. */
export interface InfoSource {
  readonly conn: Conn;
  /** It came over TLS. */
  readonly secure: boolean;
  contextFor(info: RequestInfo): Context;
  takeOver(info: RequestInfo, headers: HeadersInit | null | undefined): Promise<Conn>;
}

export class RequestInfo extends Arrived {
  private readonly connection: InfoSource;
  private readonly incoming: Incoming | undefined;
  /** @internal The client asks for another protocol, or for a tunnel. */
  readonly wantsUpgrade: boolean;
  private noted: Record<string, unknown> | undefined;

  /** @internal */
  constructor(
    connection: InfoSource,
    incoming: Incoming | undefined,
    wantsUpgrade: boolean,
    verb: string,
    target: string,
    host: string,
    text: string,
    spans: readonly number[],
  ) {
    super(verb, target, host, text, spans);
    this.connection = connection;
    this.incoming = incoming;
    this.wantsUpgrade = wantsUpgrade;
    this.noted = undefined;
  }

  /** A place for what an access log or a hook is to know of the request: times of upstreams, a user, … */
  get notes(): Record<string, unknown> {
    this.noted ??= {};
    return this.noted;
  }

  /**
   * The connection that the request came on: over TLS a TlsConn, which knows the client's certificate.
   * Reading or writing it is the server's until `upgrade`.
   */
  get conn(): Conn {
    return this.connection.conn;
  }

  /** The client's address. */
  get remoteAddr(): Addr {
    return this.connection.conn.remoteAddr;
  }

  /**
   * Ends when the client goes away, when the response has been sent, and when the server is closed. Asked
   * for after `upgrade` it is another one, which ends when the server begins to stop.
   */
  get context(): Context {
    return this.connection.contextFor(this);
  }

  /** The trailers of a chunked body; complete once the body has been read to its end. */
  get trailers(): Headers {
    const headers = new Headers();
    const list = this.incoming?.trailers ?? [];
    for (let i = 0; i < list.length; i += 2) headers.append(list[i] as string, list[i + 1] ?? "");
    return headers;
  }

  /**
   * Ends HTTP on this connection: answers 101 with the first protocol that the client named (200 to a
   * CONNECT), with these headers, and hands over the connection. Bytes that the client has sent already are
   * read from it first. Whoever upgrades closes it; what the handler returns is not looked at.
   * With null for the headers nothing is written: for packages that write the whole response by themselves.
   *
   * Throws a TypeError when the client did not ask for it, or its request has a body.
   */
  upgrade(headers?: HeadersInit | null): Promise<Conn> {
    return this.connection.takeOver(this, headers);
  }

  /** @internal */
  get secure(): boolean {
    return this.connection.secure;
  }

  /** @internal */
  get source(): IncomingSource | null {
    return this.incoming === undefined ? null : new IncomingSource(this.incoming);
  }

  /** @internal */
  get signal(): AbortSignal {
    return this.context.signal;
  }
}
