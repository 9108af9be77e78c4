/**
 * context.ts: SecureContext: certificate, key and settings, made once and used by many connections.
 *
 * It is two things under one name: a configuration of the addon, or one of node:tls where that speaks;
 * each is made when the first connection wants it, but createSecureContext makes one at once, so that what
 * is wrong with a certificate shows there.
 */
import { createHash } from "node:crypto";
import tls from "node:tls";
import { runtime } from "../runtime/runtime.ts";
import type { NativeKernel, TlsContextHandle } from "../syscall/kernel.ts";
import { codeOf } from "./failures.ts";
import {
  alpnBytes,
  DEFAULT_CIPHERS,
  DEFAULT_SESSION_SECONDS,
  listOf,
  type Pem,
  type SecureContextOptions,
  type TlsVersion,
} from "./options.ts";
import { loadRoots } from "./roots.ts";
import { tlsDevice } from "./tls_kernel.ts";

/** Parts of a context, as native/tls_context.c numbers them. */
const PART = {
  cert: 0,
  key: 1,
  pfx: 2,
  ca: 3,
  ciphers: 4,
  ciphersuites: 5,
  ecdhCurve: 6,
  sigalgs: 7,
  ALPNProtocols: 8,
  ocspResponse: 9,
  sessionIdContext: 10,
  ticketKeys: 11,
  roots: 12,
  keylog: 13,
} as const;

const NOTHING = new Uint8Array(0);
const VERSIONS: Record<TlsVersion, number> = { "TLSv1.2": 0x0303, "TLSv1.3": 0x0304 };

/** OpenSSL refused a certificate, a key or a setting. */
export class SecureContextError extends Error {
  override readonly name: string = "SecureContextError";
  readonly code: string;

  constructor(option: string, code: string, text: string) {
    super(`${option}: ${text} (${code})`);
    this.code = code;
  }
}

function bytesOf(value: Pem, option: string): Uint8Array {
  if (typeof value === "string") return Buffer.from(value);
  if (value instanceof Uint8Array) return value;
  throw new TypeError(`${option}: expected PEM as a string or bytes`);
}

function versionOf(version: TlsVersion, option: string): number {
  const number = VERSIONS[version];
  if (number !== undefined) return number;
  throw new TypeError(`${option}: expected "TLSv1.2" or "TLSv1.3", got ${String(version)}`);
}

/** A list of names, as C wants it. */
function textOf(names: string): Uint8Array {
  return Buffer.from(`${names}\0`, "latin1");
}

/** Names of ciphers of TLS 1.3, and of those before: OpenSSL takes them apart. */
function splitCiphers(ciphers: string): [suites: string, older: string] {
  const names = ciphers.split(":");
  const isSuite = (name: string): boolean => name.startsWith("TLS_");
  return [names.filter(isSuite).join(":"), names.filter((name) => !isSuite(name)).join(":")];
}

function ticketKeysOf(keys: SecureContextOptions["ticketKeys"]): Uint8Array[] {
  const list = keys instanceof Uint8Array ? [keys] : [...listOf(keys)];
  for (const key of list) {
    if (!(key instanceof Uint8Array) || key.length !== 48) {
      throw new RangeError("ticketKeys: expected keys of 48 bytes each");
    }
  }
  if (list.length > 16) throw new RangeError("ticketKeys: expected 16 keys at most");
  return list;
}

/** Builds a configuration of the addon, part by part. */
class Builder {
  readonly handle: TlsContextHandle;
  private readonly native: NativeKernel;
  private readonly passphrase: Uint8Array;

  constructor(native: NativeKernel, passphrase: string | undefined) {
    this.native = native;
    this.handle = native.tlsContext();
    this.passphrase = passphrase === undefined ? NOTHING : Buffer.from(passphrase);
  }

  add(option: keyof typeof PART, bytes: Uint8Array): void {
    const { native, handle, passphrase } = this;
    if (native.tlsContextUse(handle, PART[option], bytes, passphrase)) return;
    const [, library, reason] = native.tlsContextFailure();
    const text = reason ?? "OpenSSL does not accept it";
    throw new SecureContextError(option, codeOf(library, reason), text);
  }

  limit(options: SecureContextOptions): void {
    const lowest = versionOf(options.minVersion ?? "TLSv1.2", "minVersion");
    const highest = versionOf(options.maxVersion ?? "TLSv1.3", "maxVersion");
    if (lowest > highest) throw new RangeError("minVersion: expected no more than maxVersion");
    const seconds = options.sessionTimeout ?? DEFAULT_SESSION_SECONDS;
    if (!Number.isInteger(seconds) || seconds < 1 || seconds > 604_800) {
      throw new RangeError("sessionTimeout: expected 1 to 604,800 seconds");
    }
    const order = options.honorCipherOrder === false ? 0 : 1;
    this.native.tlsContextLimits(this.handle, lowest, highest, order, seconds, 1);
  }
}

/** What a context is used for, as far as its configuration depends on it. */
export interface ContextUse {
  /** Which side, and what a server asks of its clients: sessions are resumed under the same only. */
  readonly role: "client" | "server" | "server, asks" | "server, requires";
  readonly keylog: boolean;
}

function build(
  native: NativeKernel,
  options: SecureContextOptions,
  { role, keylog }: ContextUse,
): TlsContextHandle {
  const builder = new Builder(native, options.passphrase);
  builder.limit(options);
  const [suites, older] = splitCiphers(options.ciphers ?? DEFAULT_CIPHERS);
  if (older !== "") builder.add("ciphers", textOf(older));
  if (suites !== "") builder.add("ciphersuites", textOf(suites));
  const { ecdhCurve, sigalgs, ALPNProtocols, ocspResponse, ticketKeys, pfx } = options;
  if (ecdhCurve !== undefined && ecdhCurve !== "auto") builder.add("ecdhCurve", textOf(ecdhCurve));
  if (sigalgs !== undefined) builder.add("sigalgs", textOf(sigalgs));
  if (options.ca === undefined && role !== "server") {
    loadRoots(native);
    builder.add("roots", NOTHING);
  }
  for (const ca of listOf(options.ca)) builder.add("ca", bytesOf(ca, "ca"));
  if (pfx !== undefined) builder.add("pfx", bytesOf(pfx, "pfx"));
  for (const cert of listOf(options.cert)) builder.add("cert", bytesOf(cert, "cert"));
  for (const key of listOf(options.key)) builder.add("key", bytesOf(key, "key"));
  if (ALPNProtocols !== undefined) builder.add("ALPNProtocols", alpnBytes(ALPNProtocols));
  if (ocspResponse !== undefined) builder.add("ocspResponse", ocspResponse);
  const keys = ticketKeysOf(ticketKeys);
  if (keys.length > 0) builder.add("ticketKeys", Buffer.concat(keys));
  builder.add("sessionIdContext", sessionContextOf(options, role));
  if (keylog) builder.add("keylog", NOTHING);
  return builder.handle;
}

/**
 * A session can be resumed only where the same would have been asked of its client: tickets of the whole
 * process have the same keys.
 */
function sessionContextOf(options: SecureContextOptions, role: string): Uint8Array {
  const hash = createHash("sha256").update(role);
  for (const option of ["cert", "ca", "pfx"] as const) {
    for (const part of listOf<Pem>(options[option])) hash.update(`\0${option}\0`).update(part);
  }
  return hash.digest();
}

/** Certificate, key and settings; see createSecureContext. */
export class SecureContext {
  /** @internal */
  readonly options: SecureContextOptions;
  private readonly handles = new Map<string, TlsContextHandle>();
  private node: tls.SecureContext | undefined = undefined;

  /** @internal */
  constructor(options: SecureContextOptions) {
    this.options = options;
  }

  /** @internal What the addon takes. */
  handle(native: NativeKernel, use: ContextUse): TlsContextHandle {
    const key = `${use.role} ${use.keylog}`;
    let handle = this.handles.get(key);
    if (handle === undefined) {
      handle = build(native, this.options, use);
      this.handles.set(key, handle);
    }
    return handle;
  }

  /** @internal What node:tls takes. */
  get nodeContext(): tls.SecureContext {
    const { ALPNProtocols, ocspResponse, ticketKeys, ...options } = this.options;
    const [keys] = ticketKeysOf(ticketKeys);
    const all = {
      ciphers: DEFAULT_CIPHERS,
      honorCipherOrder: true,
      ...(options as tls.SecureContextOptions),
      ...(keys === undefined ? {} : { ticketKeys: Buffer.from(keys) }),
    };
    try {
      this.node ??= tls.createSecureContext(all);
    } catch (error) {
      throw namingOption(error, options);
    }
    return this.node;
  }
}

/** node:tls does not say which option it refuses: it is the one that it refuses by itself. */
function namingOption(error: unknown, options: SecureContextOptions): unknown {
  const { code = "ERR_TLS_FAILED", message } = error as Error & { code?: string };
  const { passphrase } = options;
  for (const option of ["cert", "key", "pfx", "ca", "ciphers", "ecdhCurve", "sigalgs"] as const) {
    if (options[option] === undefined) continue;
    try {
      tls.createSecureContext({
        passphrase,
        [option]: options[option],
      } as tls.SecureContextOptions);
    } catch {
      return new SecureContextError(option, code, message);
    }
  }
  return error;
}

/** What a context is made of; other options say nothing about it. */
const OWN_OPTIONS = [
  "cert",
  "key",
  "passphrase",
  "pfx",
  "ca",
  "minVersion",
  "maxVersion",
  "ciphers",
  "ecdhCurve",
  "sigalgs",
  "honorCipherOrder",
  "ALPNProtocols",
  "ticketKeys",
  "sessionTimeout",
  "ocspResponse",
] as const;

/** Numbers for contexts that callers made. */
const numbers = new WeakMap<SecureContext, number>();
let made = 0;

/** A name that two calls share when they say the same about certificates, trust and settings. */
export function nameOfContext(options: SecureContextOptions): string {
  const { secureContext } = options as { secureContext?: SecureContext };
  if (secureContext !== undefined) {
    const number = numbers.get(secureContext) ?? ++made;
    numbers.set(secureContext, number);
    return `#${number}`;
  }
  const said = OWN_OPTIONS.filter((name) => options[name] !== undefined);
  if (said.length === 0) return "";
  const hash = createHash("sha256");
  for (const name of said) {
    for (const part of listOf(options[name])) {
      hash.update(`\0${name}\0`).update(part instanceof Uint8Array ? part : String(part));
    }
  }
  return hash.digest("base64");
}

/** The context of all connections for which nothing was said. */
let plain: SecureContext | undefined;

/** The context that options name, or are. */
export function contextOf(options: SecureContext | SecureContextOptions): SecureContext {
  if (options instanceof SecureContext) return options;
  const { secureContext } = options as { secureContext?: SecureContext };
  if (secureContext !== undefined) return secureContext;
  if (OWN_OPTIONS.some((name) => options[name] !== undefined)) return new SecureContext(options);
  plain ??= new SecureContext({});
  return plain;
}

/**
 * Certificate, key and settings, read and checked once, for tlsListen, dialTls, secure, an SNICallback or
 * listener.setSecureContext. Throws a SecureContextError for what OpenSSL refuses (a key that does not
 * belong to the certificate, a passphrase that is wrong, …), and TypeError or RangeError for what is no
 * such option.
 *
 * @example
 * import { createSecureContext } from "coronet";
 * const context = createSecureContext({ minVersion: "TLSv1.3", ALPNProtocols: ["h2", "http/1.1"] });
 * try {
 *   createSecureContext({ cert: "no certificate" });
 * } catch (error) {
 *   console.log((error as Error).message); // cert: no start line (ERR_OSSL_NO_START_LINE)
 * }
 * console.log(context.constructor.name); // SecureContext
 */
export function createSecureContext(options: SecureContextOptions): SecureContext {
  const context = new SecureContext(options);
  const device = tlsDevice(runtime());
  if (typeof device === "string") void context.nodeContext;
  else context.handle(device.kernel.native, { role: "server", keylog: false });
  return context;
}
