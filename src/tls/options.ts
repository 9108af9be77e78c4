/** options.ts: what is told about a TLS connection, named as node:tls names it. */
import type { SecureContext } from "./context.ts";

/** A certificate or key in PEM: text or bytes. */
export type Pem = string | Uint8Array;

/** "TLSv1.2" or "TLSv1.3"; older ones are refused as long as OpenSSL allows them at all. */
export type TlsVersion = "TLSv1.2" | "TLSv1.3";

/** What a side is made of; can be shared by many connections. */
export interface SecureContextOptions {
  /** The certificate, followed by those that lead to a root, in PEM; several for keys of several types. */
  cert?: Pem | readonly Pem[];
  /** The private key of each certificate, in PEM. */
  key?: Pem | readonly Pem[];
  /** Opens an encrypted key or pfx. */
  passphrase?: string;
  /** Certificate, key and chain as PKCS #12, instead of cert and key. */
  pfx?: Uint8Array;
  /** Whom to trust instead of the roots that Node trusts, in PEM. */
  ca?: Pem | readonly Pem[];
  /** "TLSv1.2" by default. */
  minVersion?: TlsVersion;
  /** "TLSv1.3" by default. */
  maxVersion?: TlsVersion;
  /** OpenSSL's names, parted by colons; those of TLS 1.3 (TLS_…) among them. */
  ciphers?: string;
  /** Groups for the key exchange, parted by colons; OpenSSL's default by default. */
  ecdhCurve?: string;
  /** Signature algorithms, parted by colons. */
  sigalgs?: string;
  /** The client's order of ciphers counts instead of the server's when false. */
  honorCipherOrder?: boolean;
  /** Protocols to offer (client) or to choose from, the most wanted first (server): ["h2", "http/1.1"]. */
  ALPNProtocols?: readonly string[];
  /**
   * Keys for session tickets, 48 bytes each: the first seals, all open. By default all threads of the
   * process share keys that change twice a day; give the same ones to several processes yourself.
   */
  ticketKeys?: Uint8Array | readonly Uint8Array[];
  /** How long a session can be resumed, in seconds; 300 by default. */
  sessionTimeout?: number;
  /** A staple: the OCSP answer about cert, DER, for clients that ask. */
  ocspResponse?: Uint8Array;
}

interface CommonOptions {
  /** How long the handshake may take, in ms; 30,000 by default, null for any time. */
  handshakeTimeout?: number | null;
  /** Gets each line of the key log, for Wireshark (draft-ietf-tls-keylogfile). */
  keylog?: (line: string) => void;
  /** A context that was made before, instead of the options it is made of. */
  secureContext?: SecureContext;
}

/** What a server's SNICallback may answer. */
export type SNIAnswer = SecureContext | SecureContextOptions | null | undefined;

export interface TlsServerOptions extends SecureContextOptions, CommonOptions {
  /** Asks each client for a certificate. */
  requestCert?: boolean;
  /** With requestCert: refuses clients without one that can be verified; true by default. */
  rejectUnauthorized?: boolean;
  /**
   * The context for the name that a client asks for (undefined when it asks for none): null or undefined
   * for the server's own. What it throws, or rejects with, refuses the client.
   */
  SNICallback?: (servername: string | undefined) => SNIAnswer | Promise<SNIAnswer>;
  /** Contexts by name; "*.example.com" stands for one label. Asked before SNICallback. */
  contexts?: Readonly<Record<string, SecureContext | SecureContextOptions>>;
}

export interface TlsClientOptions extends SecureContextOptions, CommonOptions {
  /** The name to ask for and to find in the certificate; the address's host by default. "" asks for none. */
  servername?: string;
  /** Verifies the server's chain and name; true by default. */
  rejectUnauthorized?: boolean;
  /** A session of an earlier connection (conn.session), to be resumed. */
  session?: Uint8Array;
  /** Asks for an OCSP staple (conn.ocspResponse). */
  requestOCSP?: boolean;
}

export const DEFAULT_HANDSHAKE_MS = 30_000;
export const DEFAULT_SESSION_SECONDS = 300;

/** Forward secrecy and authenticated encryption only; the server's choice where both sides have several. */
export const DEFAULT_CIPHERS = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
].join(":");

/** An option that may be one or several, as a list. */
export function listOf<T>(value: T | readonly T[] | undefined): readonly T[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value : [value as T];
}

/** Protocol names as they stand in a hello: each behind its length (RFC 7301). */
export function alpnBytes(protocols: readonly string[]): Uint8Array {
  const parts = protocols.map((name) => {
    const bytes = Buffer.from(name, "latin1");
    if (bytes.length === 0 || bytes.length > 255) {
      throw new RangeError(`ALPNProtocols: expected names of 1 to 255 bytes, got "${name}"`);
    }
    return Buffer.concat([Buffer.of(bytes.length), bytes]);
  });
  return Buffer.concat(parts);
}
