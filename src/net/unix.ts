/** unix.ts: connections over unix sockets, and the path that a listener owns. */
import { lstatSync, unlinkSync } from "node:fs";
import { resolve } from "node:path";
import type { FD } from "../poll/fd.ts";
import type { Addr } from "./addr.ts";
import { type ConnOrigin, SocketConn } from "./socket.ts";

/**
 * A connection over a unix socket: "unix" for a stream of bytes, "unixpacket" for packets, where
 * every write is one packet and a read takes a whole one (EMSGSIZE when its buffer is too small).
 */
export class UnixConn extends SocketConn {
  /** @internal */
  constructor(fd: FD, origin: ConnOrigin, peer: string | Addr) {
    super(fd, origin, peer);
  }
}

/** The path that a listener made: it is removed again only while it still is that very socket. */
export class OwnedPath {
  readonly path: string;
  readonly identity: string;

  constructor(path: string, identity?: string) {
    // Absolute: the process may change its folder, or hand the path to another one.
    this.path = resolve(path);
    this.identity = identity ?? identityOf(this.path) ?? "";
  }

  unlink(): void {
    if (this.identity === "" || identityOf(this.path) !== this.identity) return;
    try {
      unlinkSync(this.path);
    } catch {
      // Removed by someone else in this very moment: it is gone, which is what was wanted.
    }
  }
}

function identityOf(path: string): string | undefined {
  try {
    const { dev, ino } = lstatSync(path);
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}
