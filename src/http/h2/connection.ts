/**
 * connection.ts: a connection that speaks HTTP/2: node:http2 over the conn as a stream. Each request is
 * handled in a goroutine of its own, by the handler that serves HTTP/1.1.
 *
 * Invariants
 *  - A server that stops says so (GOAWAY) before it refuses anything: requests that cross that word are
 *    answered, and a client knows of every other one that it was not.
 *  - Without a request under way the connection ends after the limit `idle`.
 */
import {
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { List } from "../../internal/list.ts";
import type { Meter } from "../../poll/fd.ts";
import { go } from "../../runtime/goroutine.ts";
import { parked, type Resolve, resolver } from "../../runtime/park.ts";
import type { TlsConn } from "../../tls/conn.ts";
import type { ConnectionOwner, Served } from "../connection.ts";
import { StreamExchange } from "./exchange.ts";
import { headOf } from "./fields.ts";
import { SessionDuplex } from "./session_duplex.ts";

/** What a client may send of one body, and of all, before somebody takes it, in bytes. */
const STREAM_WINDOW = 262_144;
const WINDOW = 1 << 20;
/** The id of no stream: a client may go on until it is told the last one (RFC 9113, 6.8). */
const NO_STREAM = 0x7fff_ffff;
/** How long a client may take to answer a ping when the server stops, in ms. */
const PING_MS = 1_000;
/** How long a session may take to end when nothing is under way, in ms. */
const LAST_MS = 100;
/** How often a limit of time is looked at before it is over. */
const LOOKS = 4;
/** Longest time that a timer of Node takes, in ms. */
const LONGEST_TIMER = 0x7fff_ffff;
/** Fields of a request that are no headers. */
const PSEUDO = 8;
/** What each field counts beside its bytes (RFC 9113, 10.5.1). */
const PAIR = 32;

const nothing = (): void => {};

export class Http2Connection implements Served {
  readonly conn: TlsConn;
  readonly upgraded = false;
  /** Counted by the connection's fd (its Meter). */
  bytesIn = 0;
  bytesOut = 0;
  nextMeter: Meter | undefined = undefined;
  private readonly owner: ConnectionOwner;
  private session: ServerHttp2Session | undefined = undefined;
  private readonly ended: Promise<void>;
  private readonly end: Resolve<void>;
  private duplex: SessionDuplex | undefined = undefined;
  private closing = false;
  /** No Set: its old tables, once they are old to the collector too, hold every request there was. */
  private readonly exchanges = new List<StreamExchange>();
  private requests = 0;
  /** Runs as long as the session does: it looks for streams that do not get on, and for their absence. */
  private looker: NodeJS.Timeout | undefined = undefined;
  /** How many times it found no request under way. */
  private quiet = 0;
  private last: NodeJS.Timeout | undefined = undefined;
  private draining = false;

  constructor(conn: TlsConn, owner: ConnectionOwner) {
    this.conn = conn;
    this.owner = owner;
    this.ended = parked<void>();
    this.end = resolver<void>();
    conn.fd.addMeter(this);
  }

  async serve(): Promise<void> {
    const { conn, owner } = this;
    const { settings } = owner;
    // Who reads is the session, all the time: what stands still is its streams' to see.
    conn.setTimeouts({ write: settings.write });
    const duplex = new SessionDuplex(conn);
    this.duplex = duplex;
    const session = performServerHandshake(duplex, {
      // Beyond these streams are reset; below, a request that is too large is answered with 431.
      maxHeaderListPairs: settings.headers * 2 + PSEUDO,
      settings: {
        maxConcurrentStreams: settings.streams,
        maxHeaderListSize: settings.headerBytes * 2 + PAIR * settings.headers,
        initialWindowSize: STREAM_WINDOW,
        enableConnectProtocol: true,
      },
    });
    this.session = session;
    session.setLocalWindowSize(WINDOW);
    // A peer that goes, or breaks the rules, ends its connection and nothing else.
    session.on("error", nothing);
    session.on("stream", (stream, _headers, _flags, raw?: string[]) => {
      this.begin(stream as ServerHttp2Stream, raw ?? []);
    });
    session.once("close", () => this.end());
    // A session over a stream that is no socket of Node's does not look for its end, nor does it always
    // come to its own when it has something left to say.
    duplex.once("end", () => {
      session.destroy();
      duplex.destroy();
    });
    duplex.once("close", () => {
      session.destroy();
      this.end();
    });
    this.lookAfter();
    if (owner.stopping) this.drain();
    await this.ended;
    clearTimeout(this.looker);
    clearTimeout(this.last);
    await conn.close();
  }

  private begin(stream: ServerHttp2Stream, raw: readonly string[]): void {
    const { owner, conn, exchanges } = this;
    const { settings } = owner;
    // Whoever waits for the stream learns of it there.
    stream.on("error", nothing);
    const exchange = new StreamExchange(conn, owner, stream, headOf(raw, settings));
    exchanges.push(exchange);
    // Once, for the stream too is held for longer than it lives.
    stream.once("close", () => {
      exchange.closed();
      exchanges.remove(exchange);
      this.quiet = 0;
      if (this.closing && exchanges.length === 0) this.shut();
    });
    go(serveStream, exchange);
    if (++this.requests >= settings.requests) this.drain();
  }

  /** One timer for all limits of time: to set one for each request costs more than to look now and then. */
  private lookAfter(): void {
    const { idle, write } = this.owner.settings;
    const pause = Math.min(idle, write) / LOOKS;
    if (pause === Infinity) return;
    const mostQuiet = Math.ceil(idle / pause);
    const mostWaiting = Math.ceil(write / pause);
    const look = (): void => {
      this.looker?.refresh();
      this.exchanges.forEach((exchange) => {
        exchange.look(mostWaiting);
      });
      if (this.exchanges.length === 0 && ++this.quiet > mostQuiet && !this.closing) this.shut();
    };
    this.looker = setTimeout(look, Math.min(pause, LONGEST_TIMER));
    this.looker.unref();
  }

  /** No request is taken any more; the connection ends with the last one. */
  private shut(): void {
    const { session, duplex } = this;
    this.closing = true;
    clearTimeout(this.last);
    if (session?.closed === false) session.close();
    if (this.exchanges.length > 0) return;
    // A session that has refused a request by itself may wait for it in vain.
    this.last = setTimeout(() => {
      session?.destroy();
      duplex?.destroySoon();
    }, LAST_MS);
  }

  drain(): void {
    const { session } = this;
    if (this.draining || session === undefined || session.closed) return;
    this.draining = true;
    session.goaway(0, NO_STREAM);
    const close = (): void => this.shut();
    this.last = setTimeout(close, PING_MS);
    // What the client had sent before it knew has come before the answer.
    try {
      session.ping(close);
    } catch {
      close();
    }
  }
}

async function serveStream(exchange: StreamExchange): Promise<void> {
  await exchange.serve();
}
