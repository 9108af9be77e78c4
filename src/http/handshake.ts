/**
 * handshake.ts: a connection over TLS before anybody knows which HTTP it speaks.
 *
 * What fails here is the client's, or of somebody who was only looking: it is counted, and ends nothing but
 * the connection.
 */
import { readChunk } from "../io/io.ts";
import { writeLatin1 } from "../net/conn.ts";
import type { NetError } from "../net/errors.ts";
import { NativeTlsConn, type TlsConn } from "../tls/conn.ts";
import { Connection, type ConnectionOwner, type Served } from "./connection.ts";
import { Http2Connection } from "./h2/connection.ts";
import { plainResponse } from "./message.ts";

/** For a client that is told that it should speak TLS, in ms and bytes. */
const LINGER_MS = 1_000;
const LINGER_BYTES = 65_536;

const NO_TLS = "This port speaks HTTPS: the request came without TLS";

export class Handshake implements Served {
  readonly conn: TlsConn;
  readonly upgraded = false;
  bytesIn = 0;
  bytesOut = 0;
  private readonly owner: ConnectionOwner;
  /** Ends a handshake that is not done when the owner's last wait is over. */
  private last: NodeJS.Timeout | undefined;

  constructor(conn: TlsConn, owner: ConnectionOwner) {
    this.conn = conn;
    this.owner = owner;
  }

  /** What the connection becomes; undefined when it comes to nothing. Never throws. */
  async shake(): Promise<Served | undefined> {
    const { conn, owner } = this;
    if (owner.stopping) this.drain();
    try {
      await conn.handshake();
    } catch (error) {
      await this.failed(error as NetError);
      return undefined;
    } finally {
      clearTimeout(this.last);
    }
    if (conn.alpnProtocol === "h2") return new Http2Connection(conn, owner);
    return new Connection(conn, owner);
  }

  /**
   * Nothing is lost with it: the client has sent no request. A worker's clients get their last one, if
   * they have done their part by then.
   */
  drain(): void {
    const { conn, owner } = this;
    if (owner.lastWait === 0) void conn.close();
    else this.last ??= setTimeout(() => void conn.close(), owner.lastWait).unref();
  }

  async serve(): Promise<void> {
    await (await this.shake())?.serve();
  }

  private async failed(error: NetError): Promise<void> {
    const { conn, owner } = this;
    // Closed by this server, which knows.
    if (conn.fd.closing) return;
    owner.tally.failedHandshakes++;
    owner.observer?.handshakeFailed(error, conn);
    if (error.code === "ERR_SSL_HTTP_REQUEST" && conn instanceof NativeTlsConn) {
      await tellPlainly(conn);
    } else await conn.close();
  }
}

/** Answers a client that speaks HTTP without TLS in its own words. */
async function tellPlainly(secure: NativeTlsConn): Promise<void> {
  const conn = secure.withoutTls();
  try {
    conn.setDeadline(new Date(Date.now() + LINGER_MS));
    await conn[writeLatin1](plainResponse(400, NO_TLS));
    // Closed with bytes unread, the kernel would reset the connection before this has arrived.
    await conn.closeWrite();
    for (let left = LINGER_BYTES; left > 0; ) {
      const chunk = await conn[readChunk]();
      if (chunk === null) break;
      left -= chunk.length;
    }
  } catch {
    // It has been given its time.
  }
  await conn.close();
}
