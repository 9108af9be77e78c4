/**
 * tls.ts: TLS below a server: what it offers to speak, and certificates that are exchanged while it runs.
 */
import type { BaseConn } from "../net/conn.ts";
import type { ListenOptions } from "../net/listen.ts";
import { contextOf, SecureContext } from "../tls/context.ts";
import { type TlsListener, tlsListen } from "../tls/listen.ts";
import type { SecureContextOptions, SNIAnswer, TlsServerOptions } from "../tls/options.ts";
import { TlsAcceptor } from "../tls/secure.ts";
import type { ServeOptions } from "./options.ts";

type Given = SecureContext | SecureContextOptions;

/** What a server of a context was made into, for each list of protocols. */
const made = new WeakMap<SecureContext, Map<string, SecureContext>>();

/** The context with these protocols; as it is when it names some itself. */
function offering(given: Given, protocols: readonly string[]): SecureContext {
  const context = contextOf(given);
  if (context.options.ALPNProtocols !== undefined) return context;
  const key = protocols.join();
  const known = made.get(context) ?? new Map<string, SecureContext>();
  made.set(context, known);
  const before = known.get(key);
  if (before !== undefined) return before;
  const after = new SecureContext({ ...context.options, ALPNProtocols: protocols });
  known.set(key, after);
  return after;
}

/** The same options, with these protocols in every context that they lead to. */
function withProtocols(tls: TlsServerOptions, protocols: readonly string[]): TlsServerOptions {
  const { contexts, SNICallback } = tls;
  const answered = (answer: SNIAnswer): SNIAnswer => answer && offering(answer, protocols);
  const options: TlsServerOptions = { ...tls };
  const own = tls.cert ?? tls.pfx ?? tls.secureContext;
  if (own !== undefined) options.secureContext = offering(tls, protocols);
  if (contexts !== undefined) {
    const all = Object.entries(contexts);
    options.contexts = Object.fromEntries(
      all.map(([name, each]) => [name, offering(each, protocols)]),
    );
  }
  if (SNICallback !== undefined) {
    options.SNICallback = (name) => {
      const answer = SNICallback(name);
      return answer instanceof Promise ? answer.then(answered) : answered(answer);
    };
  }
  return options;
}

/** How a server speaks TLS. */
export class ServerTls {
  private readonly options: TlsServerOptions;
  private readonly protocols: readonly string[];
  private listener: TlsListener | undefined;
  private acceptor: TlsAcceptor | undefined;

  /** `patience`: how long a handshake may take, in ms, unless the options say so. */
  constructor(tls: TlsServerOptions, { http2 = true }: ServeOptions, patience: number) {
    this.protocols = http2 ? ["h2", "http/1.1"] : ["http/1.1"];
    const handshakeTimeout = patience === Infinity ? null : patience;
    this.options = { handshakeTimeout, ...withProtocols(tls, this.protocols) };
  }

  async listen(address: string, options: ListenOptions): Promise<TlsListener> {
    const network = /^[/@.]/.test(address) ? "unix" : "tcp";
    this.listener = await tlsListen(network, address, { ...options, ...this.options });
    return this.listener;
  }

  /** For connections that are accepted elsewhere: secure() from now on. Fails as listen does. */
  prepare(): this {
    this.acceptor = new TlsAcceptor(this.options);
    return this;
  }

  /** TLS on a connection that was accepted elsewhere; its first operation begins the handshake. */
  secure(conn: BaseConn): BaseConn {
    return (this.acceptor as TlsAcceptor).secure(conn);
  }

  /** Fails as createSecureContext does, and leaves everything as it was then. */
  setSecureContext(given: Given): void {
    const context = offering(given, this.protocols);
    this.listener?.setSecureContext(context);
    this.acceptor?.setSecureContext(context);
  }
}
