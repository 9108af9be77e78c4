/** passport.ts: what goes along with a connection that is transferred, beside its open file. */
import { deserialize, serialize } from "node:v8";
import { addrOfText } from "../net/addr.ts";
import type { ConnDescription, ConnOrigin, SocketConn } from "../net/socket.ts";
import type { Limits } from "../poll/deadline.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { connOf } from "./listening.ts";

interface Passport extends ConnDescription {
  readonly readShut: boolean;
  /** Errno of a failure that the connection stays in, or 0. */
  readonly failed: number;
  readonly referenced: boolean;
  readonly limits: Limits | undefined;
  /** Bytes that were put back, in the order of reading. */
  readonly unread: readonly Uint8Array[];
  readonly message: unknown;
}

/** A connection's passport, as bytes. Throws when the message can't be cloned. */
export function issue(conn: SocketConn, message: unknown): Uint8Array {
  const { fd } = conn;
  const [readShut, failed] = fd.condition;
  const { referenced, leftover: unread } = fd;
  const limits = fd.deadlines?.export();
  const passport: Passport = {
    ...conn.description,
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
): { conn: SocketConn; message: unknown } {
  const passport = deserialize(bytes) as Passport;
  const { network, packed, peer, limits, lingerMs, unread } = passport;
  const remote = packed ? peer : addrOfText(network, peer);
  const conn = connOf(rt, sysfd, originOf(passport), remote);
  const { fd } = conn;
  for (const part of [...unread].reverse()) fd.unread(part);
  fd.setCondition(passport.readShut, passport.failed);
  fd.setReferenced(passport.referenced);
  if (limits !== undefined) fd.limits().import(limits);
  if (lingerMs !== undefined) conn.restoreLinger(lingerMs);
  return { conn, message: passport.message };
}
