/** listen.ts: tlsListen(): a listener whose connections speak TLS. */
import type { StreamNetwork } from "../net/addr.ts";
import { kindOf } from "../net/kinds.ts";
import { checkNetwork, type ListenOptions, listen } from "../net/listen.ts";
import { Listener } from "../net/listener.ts";
import { type ConnOrigin, socketFD } from "../net/socket.ts";
import { type Runtime, runtime } from "../runtime/runtime.ts";
import type { TlsConn } from "./conn.ts";
import { contextOf, type SecureContext } from "./context.ts";
import { adoptAccepted } from "./native_path.ts";
import { overNode } from "./node_path.ts";
import type { SecureContextOptions, TlsServerOptions } from "./options.ts";
import { sayOnce } from "./say.ts";
import { checkCertificate, prepared, type Settings, serverSettings } from "./settings.ts";
import { tlsDevice } from "./tls_kernel.ts";

/** The settings of a listener, which can be exchanged. */
interface Current {
  settings: Settings;
}

/** Accepts connections that speak TLS; see tlsListen. */
export class TlsListener extends Listener<TlsConn> {
  private readonly current: Current;
  private readonly options: TlsServerOptions;

  /** @internal */
  constructor(plain: Listener, options: TlsServerOptions, current: Current) {
    const { network, addr } = plain;
    const rt = plain.fd.device.runtime;
    super(plain.fd, network, addr, adopter(rt, { network, addr }, current), plain.ownedPath);
    this.options = options;
    this.current = current;
  }

  /**
   * Exchanges certificate, key and settings for connections that are accepted from now on: a renewed
   * certificate needs no restart. What the listener asks of its clients stays. Throws what
   * createSecureContext throws, and then everything stays as it was.
   */
  setSecureContext(context: SecureContext | SecureContextOptions): void {
    const secureContext = contextOf(context);
    const settings = serverSettings({ ...this.options, secureContext });
    this.current.settings = prepared(this.fd.device.runtime, settings);
  }
}

function adopter(rt: Runtime, origin: ConnOrigin, current: Current) {
  const device = tlsDevice(rt);
  if (typeof device !== "string") {
    return (sysfd: number, peer: string): TlsConn =>
      adoptAccepted(device, sysfd, origin, peer, current.settings);
  }
  const Kind = kindOf(origin.network);
  return (sysfd: number, peer: string): TlsConn =>
    overNode(new Kind(socketFD(rt, sysfd, origin.network), origin, peer), current.settings);
}

/**
 * Listens, as listen does, for connections that speak TLS. Needs a certificate: cert and key, pfx, or
 * contexts or an SNICallback that have one for each name.
 *
 * accept() resolves before the handshake, which the first operation begins: a client that says nothing holds
 * up nobody. What the handshake fails with, that operation fails with.
 *
 * @example
 * import { dialTls, go, tlsListen } from "coronet";
 * import { selfSigned } from "coronet/testing";
 * const { cert, key } = selfSigned("localhost");
 * const listener = await tlsListen("tcp", "127.0.0.1:0", { cert, key });
 * go(async () => {
 *   for await (const conn of listener) {
 *     go(async () => {
 *       await using _ = conn;
 *       for await (const chunk of conn) await conn.write(chunk);
 *     });
 *   }
 * });
 * await using conn = await dialTls("tcp", String(listener.addr), { ca: cert, servername: "localhost" });
 * await conn.write("hello");
 * const reply = new Uint8Array(5);
 * await conn.read(reply);
 * console.log(new TextDecoder().decode(reply)); // hello
 * await listener.close();
 */
export async function tlsListen(
  network: StreamNetwork,
  address: string,
  options: TlsServerOptions & ListenOptions,
): Promise<TlsListener> {
  checkNetwork(network, "tlsListen", ["tcp", "tcp4", "tcp6", "unix"]);
  const rt = runtime();
  sayOnce(rt);
  checkCertificate(options, "tlsListen");
  const current = { settings: prepared(rt, serverSettings(options)) };
  return new TlsListener(await listen(network, address, options), options, current);
}
