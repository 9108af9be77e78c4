/** settings.ts: the options of one side, checked, as both ways of making a connection take them. */
import { isIP } from "node:net";
import { timeoutOf } from "../net/conn.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type ContextUse, contextOf, type SecureContext } from "./context.ts";
import {
  DEFAULT_HANDSHAKE_MS,
  type SecureContextOptions,
  type SNIAnswer,
  type TlsClientOptions,
  type TlsServerOptions,
} from "./options.ts";
import { tlsDevice } from "./tls_kernel.ts";

export interface Settings {
  readonly context: SecureContext;
  readonly use: ContextUse;
  /** How long the handshake may take, in ms; Infinity for any time. */
  readonly timeout: number;
  readonly keylog: ((line: string) => void) | undefined;
  /** A server's: the context for a name. */
  readonly choose: ((name: string | undefined) => SNIAnswer | Promise<SNIAnswer>) | undefined;
  readonly server: TlsServerOptions | undefined;
  readonly client: TlsClientOptions | undefined;
  /** A client's: whom to ask for, and whose certificate it must be. */
  readonly servername: string | undefined;
}

function limitOf(timeout: number | null | undefined): number {
  return timeout === undefined ? DEFAULT_HANDSHAKE_MS : timeoutOf(timeout, "handshake");
}

function roleOf({ requestCert, rejectUnauthorized }: TlsServerOptions): ContextUse["role"] {
  if (requestCert !== true) return "server";
  return rejectUnauthorized === false ? "server, asks" : "server, requires";
}

/** A name's context: by the whole name, or by "*" for its first label. */
function lookUp(
  contexts: ReadonlyMap<string, SecureContext>,
  name: string | undefined,
): SecureContext | undefined {
  if (name === undefined) return undefined;
  const lower = name.toLowerCase();
  return contexts.get(lower) ?? contexts.get(lower.replace(/^[^.]+/, "*"));
}

function chooserOf({ contexts, SNICallback }: TlsServerOptions): Settings["choose"] {
  if (contexts === undefined) return SNICallback;
  const byName = new Map(
    Object.entries(contexts).map(([name, each]) => [name.toLowerCase(), contextOf(each)]),
  );
  return (name) => lookUp(byName, name) ?? SNICallback?.(name);
}

/** Throws a TypeError when a server has no certificate for anybody. */
export function checkCertificate(options: TlsServerOptions, call: string): void {
  const { cert, pfx, secureContext, SNICallback, contexts } = options;
  if ((cert ?? pfx ?? secureContext ?? SNICallback ?? contexts) !== undefined) return;
  throw new TypeError(`${call}: a server needs a certificate: cert and key, or pfx`);
}

export function serverSettings(options: TlsServerOptions): Settings {
  const context = contextOf(options as SecureContext | SecureContextOptions);
  const { keylog, handshakeTimeout } = options;
  return {
    context,
    use: { role: roleOf(options), keylog: keylog !== undefined },
    timeout: limitOf(handshakeTimeout),
    keylog,
    choose: chooserOf(options),
    server: options,
    client: undefined,
    servername: undefined,
  };
}

/** `host`: where the connection goes, in text; "" when it goes to no host. */
export function clientSettings(options: TlsClientOptions, host: string): Settings {
  const context = contextOf(options as SecureContext | SecureContextOptions);
  const { keylog, handshakeTimeout, servername = host } = options;
  if (typeof servername !== "string" || servername.length > 253 || servername.includes("\0")) {
    throw new TypeError(`servername: expected a host name, got ${String(servername)}`);
  }
  if (servername === "" && options.rejectUnauthorized !== false && options.servername !== "") {
    throw new TypeError(
      "servername: this connection goes to no host, so say whose certificate the peer must have " +
        '(or "" for anybody\'s that is trusted)',
    );
  }
  return {
    context,
    use: { role: "client", keylog: keylog !== undefined },
    timeout: limitOf(handshakeTimeout),
    keylog,
    choose: undefined,
    server: undefined,
    client: options,
    servername: servername === "" ? undefined : servername,
  };
}

/** The same settings, of which the context has been made: what is wrong with it shows here. */
export function prepared(rt: Runtime, settings: Settings): Settings {
  const device = tlsDevice(rt);
  if (typeof device === "string") void settings.context.nodeContext;
  else settings.context.handle(device.kernel.native, settings.use);
  return settings;
}

/** True for what is an address and no name (RFC 6066, 3). */
export function isAddress(servername: string): boolean {
  return isIP(servername) !== 0;
}
