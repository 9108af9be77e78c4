/**
 * conn.ts: TlsConn: a conn that speaks TLS, on a socket by the addon or over node:tls.
 */
import { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { OpOptions } from "../io/io.ts";
import type { Addr, Network } from "../net/addr.ts";
import { BaseConn } from "../net/conn.ts";
import type { DuplexConn } from "../net/duplex.ts";
import { NetError, type NetOp } from "../net/errors.ts";
import { type ConnDescription, type SocketConn, socketFD } from "../net/socket.ts";
import { TCPConn } from "../net/tcp.ts";
import type { ErrorDetails, FD } from "../poll/fd.ts";
import type { OpName } from "../poll/op.ts";
import { CANCELED, CLOSED, DEADLINE, ECANCELED, EPIPE, TLS_TRUNCATED } from "../syscall/errno.ts";
import type { TlsFacts } from "../syscall/kernel.ts";
import { failureError, verifyCode } from "./failures.ts";
import type { NodeSession } from "./node_path.ts";
import type { TlsFD } from "./tls_fd.ts";

/**
 * A connection over TLS. It is a Conn in every way; closeWrite() sends close_notify, and a peer that
 * vanishes without having sent its own is an error (ERR_TLS_TRUNCATED), never the end of the stream.
 *
 * The handshake is begun by the first operation, or by handshake(); what follows from it is undefined until
 * it is done. dialTls and secure resolve when it is.
 *
 * @example
 * import { dialTls, tlsListen } from "coronet";
 * import { selfSigned } from "coronet/testing";
 * const { cert, key } = selfSigned("localhost");
 * await using listener = await tlsListen("tcp", "127.0.0.1:0", { cert, key, ALPNProtocols: ["echo"] });
 * const accepting = listener.accept();
 * const dialling = dialTls("tcp", String(listener.addr), {
 *   ca: cert,
 *   servername: "localhost",
 *   ALPNProtocols: ["echo"],
 * });
 * await using server = await accepting;
 * await server.handshake(); // or the first read
 * await using client = await dialling;
 * await client.write("hello");
 * for await (const chunk of server) {
 *   console.log(new TextDecoder().decode(chunk)); // hello
 *   break;
 * }
 * console.log(client.protocol, client.alpnProtocol, client.authorized); // TLSv1.3 echo true
 */
export abstract class TlsConn extends BaseConn {
  /** What carries it, for its addresses. */
  protected readonly carrier: BaseConn;

  /** @internal */
  constructor(fd: FD, carrier: BaseConn) {
    super(fd);
    this.carrier = carrier;
  }

  /** The network below: "tcp", "unix", … */
  get network(): string {
    return this.carrier.network;
  }

  get localAddr(): Addr {
    return this.carrier.localAddr;
  }

  get remoteAddr(): Addr {
    return this.carrier.remoteAddr;
  }

  /** @internal Closes so that the peer cannot take what it has for all there is. */
  abstract breakOff(): Promise<void>;

  /** Does the handshake now, or waits for the one that is under way. Its deadline is that of writes. */
  abstract handshake(options?: OpOptions): Promise<void>;
  /** "TLSv1.2" or "TLSv1.3"; undefined before the handshake is done. */
  abstract get protocol(): string | undefined;
  /** The cipher suite, by IANA's name: "TLS_AES_128_GCM_SHA256". */
  abstract get cipher(): string | undefined;
  /** @internal The same by OpenSSL's name. */
  abstract get cipherName(): string | undefined;
  /** The protocol that both sides agreed upon (ALPN); undefined for none. */
  abstract get alpnProtocol(): string | undefined;
  /** The name that the client asked for; undefined for none. */
  abstract get servername(): string | undefined;
  /** True when an earlier session was resumed: no certificate was sent. */
  abstract get sessionReused(): boolean;
  /** The peer's certificate was verified. Without requestCert a server's is false. */
  abstract get authorized(): boolean;
  /** Why it was not ("CERT_HAS_EXPIRED", …), where it was not required; undefined when it was. */
  abstract get authorizationError(): string | undefined;
  /** The peer's certificate; undefined when it has sent none. */
  get peerCertificate(): X509Certificate | undefined {
    return this.peerCertificates[0];
  }
  /** All certificates that the peer sent, its own first. Empty after a resumption in TLS 1.2 by a server. */
  abstract get peerCertificates(): X509Certificate[];
  /** A client's: what resumes this session (option `session`). In TLS 1.3 it comes after the handshake. */
  abstract get session(): Uint8Array | undefined;
  /** A client's: the OCSP staple, DER, with requestOCSP; undefined for none. */
  abstract get ocspResponse(): Uint8Array | undefined;
}

/** Which side of a connection this is. */
export interface TlsSide {
  readonly server: boolean;
  /** The name that the peer's certificate must have, for errors. */
  readonly expected: string | undefined;
}

/** Over the addon. */
export class NativeTlsConn extends TlsConn {
  declare readonly fd: TlsFD;
  /** The name that the certificate must have. */
  private readonly expected: string | undefined;
  private known: TlsFacts | undefined = undefined;
  private readonly server: boolean;

  /** @internal */
  constructor(fd: TlsFD, carrier: SocketConn, server: boolean, expected: string | undefined) {
    super(fd, carrier);
    this.server = server;
    this.expected = expected;
  }

  handshake(options?: OpOptions): Promise<void> {
    return this.fd.handshake(options?.signal);
  }

  async breakOff(): Promise<void> {
    if (this.fd.closing) return;
    if (this.carrier instanceof TCPConn) this.carrier.setLinger(0);
    this.fd.cutsOff = true;
    await this.close();
  }

  /** @internal After a handshake that has failed: the socket, for a word to a peer that speaks no TLS. */
  withoutTls(): SocketConn {
    const { fd, carrier } = this;
    const { device, sysfd } = fd;
    device.kernel.native.tlsClose(sysfd);
    const plain = (carrier as SocketConn).onFD(
      socketFD(device.runtime, sysfd, carrier.network as Network),
    );
    fd.abandon();
    return plain;
  }

  /** @internal What makes a conn of its open file, in plain values. */
  get description(): ConnDescription {
    return (this.carrier as SocketConn).description;
  }

  /** @internal */
  get side(): TlsSide {
    return { server: this.server, expected: this.expected };
  }

  override transferred(): void {
    this.fd.gone();
    super.transferred();
  }

  private get native() {
    return this.fd.device.kernel.native;
  }

  /** What was agreed upon; undefined before that, and when nobody has asked before close. */
  private get facts(): TlsFacts | undefined {
    if (this.known !== undefined || !this.fd.isSecure || this.fd.closing) return this.known;
    this.known = this.native.tlsFacts(this.fd.sysfd);
    return this.known;
  }

  get protocol(): string | undefined {
    return this.facts?.[0];
  }

  get cipher(): string | undefined {
    return this.facts?.[1];
  }

  get cipherName(): string | undefined {
    return this.facts?.[2];
  }

  get alpnProtocol(): string | undefined {
    return this.facts?.[3];
  }

  get servername(): string | undefined {
    return this.facts?.[4];
  }

  get sessionReused(): boolean {
    return this.facts?.[5] === 1;
  }

  get authorized(): boolean {
    const { facts } = this;
    if (facts === undefined || facts[6] !== 0) return false;
    return !this.server || this.peerCertificate !== undefined;
  }

  get authorizationError(): string | undefined {
    const result = this.facts?.[6] ?? 0;
    return result === 0 ? undefined : verifyCode(result);
  }

  get peerCertificates(): X509Certificate[] {
    if (!this.fd.isSecure || this.fd.closing) return [];
    return this.native.tlsPeerCertificates(this.fd.sysfd).map((der) => new X509Certificate(der));
  }

  get session(): Uint8Array | undefined {
    if (!this.fd.isSecure || this.fd.closing) return undefined;
    return this.native.tlsSession(this.fd.sysfd);
  }

  get ocspResponse(): Uint8Array | undefined {
    if (!this.fd.isSecure || this.fd.closing) return undefined;
    return this.native.tlsStaple(this.fd.sysfd);
  }

  protected override errorFor(op: NetOp, number: number, details?: ErrorDetails): NetError {
    const { failure } = this.fd;
    if (failure === undefined || number !== failure.number) {
      return super.errorFor(op, number, details);
    }
    const { network } = this;
    const [source, address] = [String(this.localAddr), String(this.remoteAddr)];
    return failureError(failure, this.fd.failedInHandshake, this.expected, {
      ...details,
      op: this.fd.failedInHandshake ? "handshake" : op,
      network,
      source,
      address,
    });
  }
}

/** Over node:tls. */
export class NodeTlsConn extends TlsConn {
  private readonly node: NodeSession;

  /** @internal */
  constructor(stream: DuplexConn, carrier: BaseConn, node: NodeSession) {
    super(stream.fd, carrier);
    this.node = node;
  }

  private get socket(): TLSSocket {
    return this.node.socket;
  }

  async handshake(options?: OpOptions): Promise<void> {
    try {
      await this.node.secured(options?.signal);
    } catch (error) {
      if (error instanceof NetError) throw error;
      throw this.node.errorOf(error, "handshake", this);
    }
  }

  override close(): Promise<void> {
    // To end in good order, node:tls would wait for a handshake that may never be done.
    if (!this.node.isSecure && !this.fd.closing) this.socket.destroy();
    return super.close();
  }

  async breakOff(): Promise<void> {
    const { carrier } = this;
    if (carrier instanceof TCPConn && !carrier.fd.closing) carrier.setLinger(0);
    this.socket.destroy();
    await this.close();
  }

  get protocol(): string | undefined {
    return this.node.protocol;
  }

  get cipher(): string | undefined {
    return this.node.cipher;
  }

  get cipherName(): string | undefined {
    return this.node.cipherName;
  }

  get alpnProtocol(): string | undefined {
    return this.socket.alpnProtocol || undefined;
  }

  get servername(): string | undefined {
    return this.node.servername;
  }

  get sessionReused(): boolean {
    return this.node.reused;
  }

  get authorized(): boolean {
    return this.socket.authorized === true;
  }

  get authorizationError(): string | undefined {
    const { authorizationError } = this.socket as { authorizationError?: Error | string | null };
    return authorizationError
      ? String((authorizationError as Error).message ?? authorizationError)
      : undefined;
  }

  get peerCertificates(): X509Certificate[] {
    const own = this.node.isSecure ? this.socket.getPeerX509Certificate() : undefined;
    const all: X509Certificate[] = [];
    for (let cert = own; cert !== undefined && !all.includes(cert); cert = cert.issuerCertificate) {
      all.push(cert);
    }
    return all;
  }

  get session(): Uint8Array | undefined {
    return this.node.session;
  }

  get ocspResponse(): Uint8Array | undefined {
    return this.node.ocspResponse;
  }

  /** @internal The stream's own error says more than its number. */
  override error(op: OpName, number: number, details?: ErrorDetails): NetError {
    if (number === TLS_TRUNCATED) return this.truncation(op, details);
    const { errored } = this.socket;
    const own = number === CLOSED || number === DEADLINE || number === CANCELED;
    if (own || errored === null) return super.error(op, number, details);
    if (!this.node.isSecure) return this.node.errorOf(errored, "handshake", this);
    // node:tls cancels what it was writing when it ends.
    const name = number === ECANCELED ? EPIPE : number;
    return super.error(op, name, { ...details, cause: errored });
  }

  private truncation(op: OpName, details: ErrorDetails | undefined): NetError {
    const failure = { number: TLS_TRUNCATED, details: undefined, cause: undefined };
    const [source, address] = [String(this.localAddr), String(this.remoteAddr)];
    const { network } = this;
    return failureError(failure, false, undefined, { ...details, op, network, source, address });
  }
}
