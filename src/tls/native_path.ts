/** native_path.ts: TLS on a socket, by the addon. */
import { errorOf, type NetOp } from "../net/errors.ts";
import { kindOf } from "../net/kinds.ts";
import type { ConnOrigin, SocketConn } from "../net/socket.ts";
import type { Owner } from "../poll/fd.ts";
import { BUSY, CLOSED } from "../syscall/errno.ts";
import type { TlsContextHandle } from "../syscall/kernel.ts";
import { NativeTlsConn, type TlsSide } from "./conn.ts";
import { contextOf } from "./context.ts";
import { isAddress, type Settings } from "./settings.ts";
import { type Chooser, type HandshakeOptions, TlsFD } from "./tls_fd.ts";
import type { TlsDevice } from "./tls_kernel.ts";

/** What the addon is asked to tell, or to look for, before a client's handshake (native/tls_facts.c). */
const ASK_NAME = 0;
const CHECK_HOST = 1;
const CHECK_IP = 2;
const ASK_STAPLE = 3;

/** How a peer's certificate is looked at. */
const VERIFY_NOT = 0;
const VERIFY_ASK = 1;
const VERIFY_REQUIRE = 2;

const NOTHING = new Uint8Array(0);

const NOBODY: Owner = {
  error: (op, number) => errorOf(number, { op: op as NetOp, network: "tls" }),
};

/** Of a connection whose handshake is done. */
const HANDSHAKEN: HandshakeOptions = { timeout: Infinity, choose: undefined, keylog: undefined };

function verifyOf({ use, client }: Settings): number {
  if (client !== undefined)
    return client.rejectUnauthorized === false ? VERIFY_NOT : VERIFY_REQUIRE;
  if (use.role === "server") return VERIFY_NOT;
  return use.role === "server, asks" ? VERIFY_ASK : VERIFY_REQUIRE;
}

/** What the addon takes of an SNICallback's answer. */
function chooserOf(device: TlsDevice, { choose, use }: Settings): Chooser | undefined {
  if (choose === undefined) return undefined;
  const { native } = device.kernel;
  const handleOf = (answer: Awaited<ReturnType<typeof choose>>): TlsContextHandle | null =>
    answer ? contextOf(answer).handle(native, use) : null;
  return (name) => {
    const answer = choose(name);
    return answer instanceof Promise ? answer.then(handleOf) : handleOf(answer);
  };
}

/** Tells the addon whom a client wants to speak to. */
function introduce(device: TlsDevice, sysfd: number, settings: Settings): void {
  const { native } = device.kernel;
  const { client, servername } = settings;
  if (client === undefined) return;
  if (servername !== undefined) {
    const isIP = isAddress(servername);
    // A dot at the end is no part of the name in a certificate, nor of one that is asked for.
    const name = servername.replace(/\.$/, "");
    if (!isIP) native.tlsAsk(sysfd, ASK_NAME, name);
    if (client.rejectUnauthorized !== false)
      native.tlsAsk(sysfd, isIP ? CHECK_IP : CHECK_HOST, name);
  }
  if (client.requestOCSP === true) native.tlsAsk(sysfd, ASK_STAPLE, "");
  if (client.session !== undefined) native.tlsResume(sysfd, client.session);
}

/** An FD that speaks TLS on an open socket that nobody else uses: what failed fails its operations. */
function open(
  device: TlsDevice,
  sysfd: number,
  settings: Settings,
  leftover: Uint8Array,
  network: string,
): TlsFD {
  const { native } = device.kernel;
  const handle = settings.context.handle(native, settings.use);
  const isServer = settings.server === undefined ? 0 : 1;
  const asks = settings.choose === undefined ? 0 : 1;
  const n = native.tlsOpen(sysfd, handle, isServer, verifyOf(settings), asks, leftover);
  const fd = new TlsFD(device, sysfd, NOBODY, {
    timeout: settings.timeout,
    choose: chooserOf(device, settings),
    keylog: settings.keylog,
  });
  if (network === "unix") fd.distrustShortReads();
  if (n < 0) fd.failHandshake({ number: -n, details: undefined, cause: undefined });
  else introduce(device, sysfd, settings);
  return fd;
}

/** A connection that was just accepted. Does not throw once the context has been made. */
export function adoptAccepted(
  device: TlsDevice,
  sysfd: number,
  origin: ConnOrigin,
  peer: string,
  settings: Settings,
): NativeTlsConn {
  const fd = open(device, sysfd, settings, NOTHING, origin.network);
  const carrier = new (kindOf(origin.network))(fd, origin, peer);
  return new NativeTlsConn(fd, carrier, true, undefined);
}

/** A connection that another thread has parked: `number` is what pack() gave there. */
export function arrived(
  device: TlsDevice,
  sysfd: number,
  number: number,
  carry: (fd: TlsFD) => SocketConn,
  { server, expected }: TlsSide,
): NativeTlsConn {
  const fd = new TlsFD(device, sysfd, NOBODY, HANDSHAKEN);
  fd.adopt(number);
  const carrier = carry(fd);
  if (carrier.network === "unix") fd.distrustShortReads();
  return new NativeTlsConn(fd, carrier, server, expected);
}

/** TLS on a live connection, whose conn is closed to its users from now on. */
export function takeOver(device: TlsDevice, conn: SocketConn, settings: Settings): NativeTlsConn {
  const { fd: old } = conn;
  if (old.closing) throw conn.failed("handshake", CLOSED);
  if (!old.isIdle) throw conn.failed("handshake", BUSY);
  const fd = open(device, old.sysfd, settings, Buffer.concat(old.takeUnread()), conn.network);
  const carrier = conn.onFD(fd);
  if (old.deadlines !== undefined) fd.limits().import(old.deadlines.export());
  fd.setReferenced(old.referenced);
  fd.takeMeters(old);
  old.abandon();
  return new NativeTlsConn(fd, carrier, settings.server !== undefined, settings.servername);
}
