/**
 * tls_duplex.ts: a TLS connection as the socket that programs of node:http know from node:https.
 *
 * What Express, Fastify and others ask of it decides what they take a request for: `encrypted` makes it
 * one of https, the certificate says whose it is.
 */

import type { X509Certificate } from "node:crypto";
import type { PeerCertificate } from "node:tls";
import { ConnDuplex } from "../net/to_duplex.ts";
import type { TlsConn } from "../tls/conn.ts";

type Detailed = PeerCertificate & { issuerCertificate?: Detailed };

/** Its names and values are those of a tls.TLSSocket; they are there when the handshake is done. */
export class TlsDuplex extends ConnDuplex {
  declare readonly conn: TlsConn;
  readonly encrypted = true;

  get authorized(): boolean {
    return this.conn.authorized;
  }

  get authorizationError(): string | null {
    return this.conn.authorizationError ?? null;
  }

  get alpnProtocol(): string | false {
    return this.conn.alpnProtocol ?? false;
  }

  get servername(): string | false {
    return this.conn.servername ?? false;
  }

  getProtocol(): string | null {
    return this.conn.protocol ?? null;
  }

  getCipher(): { name: string; standardName: string; version: string } | undefined {
    const { cipherName: name, cipher: standardName, protocol: version } = this.conn;
    if (name === undefined || standardName === undefined || version === undefined) return undefined;
    return { name, standardName, version };
  }

  isSessionReused(): boolean {
    return this.conn.sessionReused;
  }

  getPeerX509Certificate(): X509Certificate | undefined {
    return this.conn.peerCertificate;
  }

  /** As an object of Node's own kind, `{}` for none; with `detailed`, its issuers hang on it. */
  getPeerCertificate(detailed = false): Detailed | Record<string, never> {
    const [own, ...issuers] = this.conn.peerCertificates;
    if (own === undefined) return {};
    const certificate = own.toLegacyObject() as Detailed;
    let last = certificate;
    for (const issuer of detailed ? issuers : []) {
      last.issuerCertificate = issuer.toLegacyObject() as Detailed;
      last = last.issuerCertificate;
    }
    return certificate;
  }
}
