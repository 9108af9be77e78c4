/**
 * node_path.ts: TLS where there is no socket of the kernel's (pipes, streams, the portable backend), or no
 * OpenSSL that the addon could use: node:tls over the conn as a stream, and a conn over that.
 *
 * node:tls reports a truncated stream as the end. What tells them apart is the order: after close_notify it
 * has ended before the stream below does.
 */

import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import tls, { type TLSSocket } from "node:tls";
import type { BaseConn } from "../net/conn.ts";
import { fromJudged } from "../net/duplex.ts";
import { NetError, type NetOp } from "../net/errors.ts";
import { toDuplex } from "../net/to_duplex.ts";
import { CanceledError } from "../runtime/canceled.ts";
import { TLS_TRUNCATED } from "../syscall/errno.ts";
import { NodeTlsConn } from "./conn.ts";
import { contextOf } from "./context.ts";
import type { Settings } from "./settings.ts";

/** A TLSSocket and what has become of it. */
export class NodeSession {
  readonly socket: TLSSocket;
  isSecure = false;
  /** What was agreed upon: the socket forgets it when it is closed. */
  protocol: string | undefined = undefined;
  cipher: string | undefined = undefined;
  cipherName: string | undefined = undefined;
  reused = false;
  session: Uint8Array | undefined = undefined;
  ocspResponse: Uint8Array | undefined = undefined;
  /** The stream below has ended before the peer said that nothing follows. */
  truncated = false;
  private readonly settings: Settings;
  private readonly done: Promise<void>;

  /** `below` carries it. */
  constructor(socket: TLSSocket, below: Duplex, settings: Settings) {
    this.socket = socket;
    this.settings = settings;
    this.done = this.watch();
    // Before node:tls learns of it, which makes an end of it.
    below.prependOnceListener("end", () => {
      this.truncated = !hasEnded(socket);
      // It waits on: for all it knows its own side may still write.
      setImmediate(() => this.cutOff());
    });
    // Whoever does not ask learns of it by the next read or write.
    this.done.catch(() => {});
  }

  private cutOff(): void {
    if (!this.isSecure) this.socket.destroy();
  }

  private watch(): Promise<void> {
    const { socket, settings } = this;
    const { keylog } = settings;
    socket.on("session", (session: Buffer) => {
      this.session = session;
    });
    socket.on("OCSPResponse", (answer: Buffer | null) => {
      this.ocspResponse = answer ?? undefined;
    });
    if (keylog !== undefined)
      socket.on("keylog", (line: Buffer) => keylog(line.toString("latin1").trimEnd()));
    const { promise, resolve, reject } = withResolvers();
    const { timeout } = settings;
    const late = (): void => {
      socket.destroy(
        Object.assign(new Error("the handshake took too long"), { code: "ERR_DEADLINE" }),
      );
    };
    const timer = timeout === Infinity ? undefined : setTimeout(late, timeout);
    timer?.unref();
    socket.once(settings.server === undefined ? "secureConnect" : "secure", () => {
      clearTimeout(timer);
      const refused = settings.server === undefined ? undefined : refusal(socket, settings);
      if (refused !== undefined) {
        socket.destroy(refused);
        return;
      }
      this.isSecure = true;
      this.protocol = socket.getProtocol() ?? undefined;
      const { standardName, name } = socket.getCipher() ?? {};
      this.cipher = standardName;
      this.cipherName = name;
      this.reused = socket.isSessionReused();
      resolve();
    });
    socket.once("error", reject);
    socket.once("close", () => {
      clearTimeout(timer);
      reject(socket.errored ?? new Error("the peer closed the connection during the handshake"));
    });
    return promise;
  }

  get servername(): string | undefined {
    const { servername } = this.socket as { servername?: string | false | null };
    return servername || this.settings.servername || undefined;
  }

  /** Waits for the handshake. */
  async secured(signal: AbortSignal | undefined): Promise<void> {
    if (signal === undefined) return await this.done;
    if (signal.aborted) throw new CanceledError("handshake", signal.reason);
    const { promise, reject } = withResolvers();
    const stop = (): void => reject(new CanceledError("handshake", signal.reason));
    signal.addEventListener("abort", stop, { once: true });
    try {
      await Promise.race([this.done, promise]);
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  errorOf(error: unknown, op: NetOp, conn: BaseConn): NetError {
    const {
      code = "ERR_TLS_FAILED",
      message,
      reason,
    } = error as Error & {
      code?: string;
      reason?: string;
    };
    const named = code === "ERR_TLS_CERT_ALTNAME_INVALID";
    return new NetError({
      op,
      network: conn.network,
      source: String(conn.localAddr),
      address: String(conn.remoteAddr),
      code: error instanceof CanceledError ? error.code : code,
      text: named ? `the peer's certificate was refused: ${reason ?? message}` : message,
      timeout: code === "ERR_DEADLINE",
      endsGoroutine: true,
      cause: error,
    });
  }
}

/** Whether the end has been pushed, which may be long before it is read. Undocumented, and old. */
function hasEnded(socket: TLSSocket): boolean {
  return (socket as unknown as { _readableState: { ended: boolean } })._readableState.ended;
}

interface Resolvers {
  promise: Promise<void>;
  resolve(): void;
  reject(error: unknown): void;
}

function withResolvers(): Resolvers {
  let resolve!: () => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** A server that requires a certificate looks at it itself: only tls.Server would do so. */
function refusal(socket: TLSSocket, { server }: Settings): Error | undefined {
  if (server?.requestCert !== true) return undefined;
  // Undocumented, and what tls.Server itself asks.
  const { ssl } = socket as unknown as {
    ssl: { verifyError(): (Error & { code?: string }) | null };
  };
  const error = ssl.verifyError();
  const state = socket as unknown as { authorized: boolean; authorizationError: string | null };
  state.authorized = error === null;
  state.authorizationError = error?.code ?? null;
  return error !== null && server.rejectUnauthorized !== false ? error : undefined;
}

/** Puts node:tls on a conn, which is its from now on. */
export function overNode(carrier: BaseConn, settings: Settings): NodeTlsConn {
  // Asked while it can be answered.
  void carrier.localAddr;
  const below = toDuplex(carrier, { allowHalfOpen: true });
  const socket = settings.server === undefined ? client(below, settings) : server(below, settings);
  const node = new NodeSession(socket, below, settings);
  const stream = fromJudged(socket, () => (node.truncated ? TLS_TRUNCATED : 0));
  return new NodeTlsConn(stream, carrier, node);
}

function client(below: Duplex, settings: Settings): TLSSocket {
  const { client: options = {}, servername } = settings;
  const { ALPNProtocols } = settings.context.options;
  const isName = servername !== undefined && isIP(servername) === 0;
  return tls.connect({
    socket: below,
    secureContext: settings.context.nodeContext,
    rejectUnauthorized: options.rejectUnauthorized !== false,
    // An address is checked by its own name, and is no server name (RFC 6066, 3). A name in the subject is
    // no name any more (RFC 9110, 4.3.4).
    checkServerIdentity: (_host, cert) =>
      tls.checkServerIdentity(servername ?? "", { ...cert, subject: { ...cert.subject, CN: "" } }),
    ...(isName ? { servername } : {}),
    ...(ALPNProtocols === undefined ? {} : { ALPNProtocols: [...ALPNProtocols] }),
    ...(options.session === undefined ? {} : { session: Buffer.from(options.session) }),
    ...(options.requestOCSP === true ? { requestOCSP: true } : {}),
  } as tls.ConnectionOptions);
}

function server(below: Duplex, settings: Settings): TLSSocket {
  const { server: options = {}, choose } = settings;
  const { ALPNProtocols } = settings.context.options;
  return new tls.TLSSocket(below, {
    isServer: true,
    secureContext: settings.context.nodeContext,
    requestCert: options.requestCert === true,
    rejectUnauthorized: false,
    ...(ALPNProtocols === undefined ? {} : { ALPNProtocols: [...ALPNProtocols] }),
    ...(choose === undefined
      ? {}
      : {
          SNICallback: (
            name: string,
            answer: (error: Error | null, context?: tls.SecureContext) => void,
          ) => {
            Promise.resolve()
              .then(() => choose(name || undefined))
              .then(
                (chosen) => answer(null, chosen ? contextOf(chosen).nodeContext : undefined),
                (error: Error) => answer(error),
              );
          },
        }),
  });
}
