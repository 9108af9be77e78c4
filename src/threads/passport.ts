/** passport.ts: what goes along with a connection that is transferred, beside its open file. */
import { deserialize, serialize } from "node:v8";
import { addrOfText } from "../net/addr.ts";
import { type ConnDescription, type ConnOrigin, type SocketConn, socketFD } from "../net/socket.ts";
import type { Limits } from "../poll/deadline.ts";
import type { FD } from "../poll/fd.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { NativeTlsConn, type TlsSide } from "../tls/conn.ts";
import { arrived } from "../tls/native_path.ts";
import { type TlsDevice, tlsDevice } from "../tls/tls_kernel.ts";
import { connOn } from "./listening.ts";

/** What can be transferred. */
export type Movable = SocketConn | NativeTlsConn;

interface Passport extends ConnDescription {
  /** Of a connection over TLS: which side it is, and where this process keeps it meanwhile. */
  readonly tls: (TlsSide & { readonly number: number }) | undefined;
  readonly readShut: boolean;
  /** Errno of a failure that the connection stays in, or 0. */
  readonly failed: number;
  readonly referenced: boolean;
  readonly limits: Limits | undefined;
  /** Bytes that were put back, in the order of reading. */
  readonly unread: readonly Uint8Array[];
  readonly message: unknown;
}

/**
 * A connection's passport, as bytes; `number` is what its fd is packed under. Throws when the message can't be
 * cloned.
 */
export function issue(conn: Movable, number: number, message: unknown): Uint8Array {
  const { fd } = conn;
  const [readShut, failed] = fd.condition;
  const { referenced, leftover: unread } = fd;
  const limits = fd.deadlines?.export();
  const passport: Passport = {
    ...conn.description,
    tls: conn instanceof NativeTlsConn ? { ...conn.side, number } : undefined,
    readShut,
    failed,
    referenced,
    limits,
    unread,
    message,
  };
  return serialize(passport);
}

/** What the connections that came by one listener have in common: made once for all of them. */
const origins = new Map<string, ConnOrigin>();

function originOf({ network, listened }: Passport): ConnOrigin {
  const key = `${network} ${listened}`;
  let origin = origins.get(key);
  if (origin === undefined) {
    const addr = listened === "" ? undefined : addrOfText(network, listened);
    origin = { network, addr };
    origins.set(key, origin);
  }
  return origin;
}

/** The conn of an open file with its passport, and the message that came along. */
export function admit(
  rt: Runtime,
  sysfd: number,
  bytes: Uint8Array,
): { conn: Movable; message: unknown } {
  const passport = deserialize(bytes) as Passport;
  const { network, packed, peer, limits, lingerMs, unread, tls } = passport;
  const remote = packed ? peer : addrOfText(network, peer);
  const origin = originOf(passport);
  const socket = (fd: FD): SocketConn => {
    const made = connOn(fd, origin, remote);
    if (lingerMs !== undefined) made.restoreLinger(lingerMs);
    return made;
  };
  const conn =
    tls === undefined
      ? socket(socketFD(rt, sysfd, network))
      : arrived(tlsDevice(rt) as TlsDevice, sysfd, tls.number, socket, tls);
  const { fd } = conn;
  for (const part of [...unread].reverse()) fd.unread(part);
  fd.setCondition(passport.readShut, passport.failed);
  fd.setReferenced(passport.referenced);
  if (limits !== undefined) fd.limits().import(limits);
  return { conn, message: passport.message };
}
