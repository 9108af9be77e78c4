/** unix.ts: connections over unix sockets, and the path that a listener owns. */
import { lstatSync, unlinkSync } from "node:fs";
import type { FD } from "../poll/fd.ts";
import type { Addr } from "./addr.ts";
import { type ConnOrigin, SocketConn } from "./socket.ts";

/**
 * A connection over a unix socket: "unix" for a stream of bytes, "unixpacket" for packets, where
 * every write is one packet and a read takes a whole one (EMSGSIZE when its buffer is too small), and
 * "unixgram" for datagrams, which are as UDPConn's, but none is lost.
 */
export class UnixConn extends SocketConn {
  /** @internal */
  constructor(fd: FD, origin: ConnOrigin, peer: string | Addr) {
    super(fd, origin, peer);
  }
}

/** The path that a listener made: it is removed again only while it still is that very socket. */
export class OwnedPath {
  private readonly path: string;
  private readonly identity: string;

  constructor(path: string) {
    this.path = path;
    this.identity = identityOf(path) ?? "";
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
