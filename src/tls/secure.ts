/** secure.ts: secure() and dialTls(): TLS on a live connection, in either role. */
import type { OpOptions } from "../io/io.ts";
import { type StreamNetwork, splitHostPort, TCPAddr } from "../net/addr.ts";
import { BaseConn, type Conn } from "../net/conn.ts";
import { type DialOptions, dial } from "../net/dial.ts";
import { checkNetwork } from "../net/listen.ts";
import { SocketConn } from "../net/socket.ts";
import type { FD } from "../poll/fd.ts";
import { runtime } from "../runtime/runtime.ts";
import { BUSY, CLOSED } from "../syscall/errno.ts";
import { NativeTlsConn, type TlsConn } from "./conn.ts";
import type { SecureContext } from "./context.ts";
import { takeOver } from "./native_path.ts";
import { overNode } from "./node_path.ts";
import type { TlsClientOptions, TlsServerOptions } from "./options.ts";
import { sayOnce } from "./say.ts";
import {
  checkCertificate,
  clientSettings,
  prepared,
  type Settings,
  serverSettings,
} from "./settings.ts";
import { tlsDevice } from "./tls_kernel.ts";

/** As a client (the default). */
export interface SecureClientOptions extends TlsClientOptions, OpOptions {
  isServer?: false;
}

/** As a server. */
export interface SecureServerOptions extends TlsServerOptions, OpOptions {
  isServer: true;
}

function isNative(conn: BaseConn): conn is SocketConn {
  return conn instanceof SocketConn && conn.fd.device === conn.fd.device.runtime;
}

/** TLS on a live connection; nothing is sent yet. */
export function put(conn: BaseConn, settings: Settings): TlsConn {
  const rt = conn.fd.device.runtime;
  const device = tlsDevice(rt);
  if (isNative(conn) && typeof device !== "string") return takeOver(device, conn, settings);
  if (isNative(conn)) sayOnce(rt);
  if (conn.fd.closing) throw conn.error("handshake", CLOSED);
  if (!conn.fd.isIdle) throw conn.error("handshake", BUSY);
  return overNode(conn, settings);
}

/**
 * Upgrades a live connection to TLS, as its client or (isServer) its server, and does the handshake:
 * STARTTLS and the like. Bytes that were put back (conn.unread) count as the peer's first ones. The conn
 * that is given belongs to the one that is returned: close that one, and do not use the other any more.
 * Deadlines and timeouts go along.
 *
 * A client verifies the server's chain and name; the name is that of the option servername, or the address
 * that a TCP connection goes to. Works on any Conn of a stream: sockets, pipes, fromDuplex, TLS itself.
 *
 * When it fails the connection is closed. Throws a NetError: ERR_BUSY when operations wait on the
 * connection; CERT_HAS_EXPIRED, DEPTH_ZERO_SELF_SIGNED_CERT, ERR_TLS_CERT_ALTNAME_INVALID,
 * UNABLE_TO_GET_ISSUER_CERT_LOCALLY, …; ERR_SSL_… with OpenSSL's reason; ERR_DEADLINE.
 *
 * @example
 * import { pipe, secure } from "coronet";
 * import { selfSigned } from "coronet/testing";
 * const { cert, key } = selfSigned("mail.example");
 * const [a, b] = pipe();
 * const [client, server] = await Promise.all([
 *   secure(a, { servername: "mail.example", ca: cert }),
 *   secure(b, { isServer: true, cert, key }),
 * ]);
 * await client.write("EHLO");
 * const buffer = new Uint8Array(4);
 * await server.read(buffer);
 * console.log(new TextDecoder().decode(buffer), client.protocol); // EHLO TLSv1.3
 * await client.close();
 * await server.close();
 */
export async function secure(
  conn: Conn,
  options: SecureClientOptions | SecureServerOptions = {},
): Promise<TlsConn> {
  if (!(conn instanceof BaseConn) || conn.fd.packets) {
    throw new TypeError("secure: expected a connection that is a stream");
  }
  const settings =
    options.isServer === true ? serverSettings(options) : clientSettings(options, hostOf(conn));
  return await shake(put(conn, prepared(conn.fd.device.runtime, settings)), options);
}

/** @internal TLS on connections that were accepted elsewhere, as a listener of TLS does it. */
export class TlsAcceptor {
  private readonly options: TlsServerOptions;
  private settings: Settings;

  /** Throws what tlsListen throws for its options. */
  constructor(options: TlsServerOptions) {
    checkCertificate(options, "TLS");
    this.options = options;
    this.settings = prepared(runtime(), serverSettings(options));
  }

  /** For connections that are secured from now on. */
  setSecureContext(secureContext: SecureContext): void {
    this.settings = prepared(runtime(), serverSettings({ ...this.options, secureContext }));
  }

  /**
   * Begins no handshake: the first operation does. The conn that is given is the result's; whoever has
   * accepted it may close it all the same.
   */
  secure(conn: BaseConn): TlsConn {
    const over = put(conn, this.settings);
    if (over instanceof NativeTlsConn) (conn as { fd: FD }).fd = over.fd;
    return over;
  }
}

/** The host that a connection goes to, as text; "" when it goes to none. */
function hostOf(conn: BaseConn): string {
  const { remoteAddr } = conn;
  return remoteAddr instanceof TCPAddr ? remoteAddr.ip : "";
}

/** The host of an address; what is no address fails in dial. */
export function hostIn(address: string): string {
  try {
    return splitHostPort(address).host || "localhost";
  } catch {
    return "localhost";
  }
}

/** Does the handshake; closes the connection when it fails. */
export async function shake(conn: TlsConn, options: OpOptions): Promise<TlsConn> {
  try {
    await conn.handshake(options);
    return conn;
  } catch (error) {
    await conn.close();
    throw error;
  }
}

/**
 * Connects, as dial does, and does the handshake as a client of TLS. Verifies the server's chain (against
 * the roots that Node trusts, NODE_EXTRA_CA_CERTS among them, or the option ca) and that its certificate is
 * for the host of the address, or for servername. `timeout` counts for connecting, handshakeTimeout for the
 * handshake. Fails as dial and as secure.
 *
 * @example
 * import { dialTls, NetError, tlsListen } from "coronet";
 * import { selfSigned } from "coronet/testing";
 * await using listener = await tlsListen("tcp", "127.0.0.1:0", selfSigned("localhost"));
 * const accepting = listener.accept().then((conn) => conn.handshake().finally(() => conn.close()));
 * accepting.catch(() => {}); // the client refuses the certificate, and says so
 * try {
 *   await dialTls("tcp", String(listener.addr), { servername: "localhost" });
 * } catch (error) {
 *   if (error instanceof NetError) console.log(error.code); // DEPTH_ZERO_SELF_SIGNED_CERT
 * }
 * await accepting.catch(() => {});
 */
export async function dialTls(
  network: StreamNetwork,
  address: string,
  options: TlsClientOptions & DialOptions = {},
): Promise<TlsConn> {
  checkNetwork(network, "dialTls", ["tcp", "tcp4", "tcp6", "unix"]);
  const host = network === "unix" ? "" : hostIn(address);
  const settings = prepared(runtime(), clientSettings(options, host));
  const conn = await dial(network, address, options);
  let over: TlsConn;
  try {
    over = put(conn, settings);
  } catch (error) {
    await conn.close();
    throw error;
  }
  return await shake(over, options);
}
