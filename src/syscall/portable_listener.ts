/**
 * portable_listener.ts: a listening socket of node:net.
 *
 * Node accepts whatever arrives. Until somebody asks for them, connections wait here, paused, where
 * natively they wait in the kernel's backlog.
 */
import { existsSync, linkSync, lstatSync, renameSync, unlinkSync } from "node:fs";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import { Ring } from "../internal/ring.ts";
import { AF_UNIX, IPPROTO_IPV6, IPV6_V6ONLY, SO_REUSEPORT, SOL_SOCKET } from "./constants.ts";
import { errnoOf } from "./duplex_end.ts";
import { EACCES, ENOENT } from "./errno.ts";
import type { Readiness } from "./kernel.ts";
import { inetName, type PortableSocket, socketAddress, whereOf } from "./portable_socket.ts";

const ignore = (): void => {};

export class PortableListener {
  readonly socket: PortableSocket;
  private readonly server: Server;
  private readonly waiting = new Ring<Socket>();
  private readiness: Readiness | undefined = undefined;
  /** The path that it made, and which file that is. */
  private path: string | undefined = undefined;
  private file: string | undefined = undefined;

  constructor(socket: PortableSocket) {
    this.socket = socket;
    this.server = createServer({
      ...socket.options.forNode,
      allowHalfOpen: true,
      pauseOnConnect: true,
    });
    this.server.unref();
    this.server.on("connection", this.onConnection);
  }

  /** Binds and listens: 0 or a negative errno. */
  open(sockaddr: Uint8Array, backlog: number): Promise<number> {
    const { server, socket } = this;
    const options = {
      ...whereOf(sockaddr),
      backlog,
      ipv6Only: socket.options.get(IPPROTO_IPV6, IPV6_V6ONLY) !== 0,
      reusePort: socket.options.get(SOL_SOCKET, SO_REUSEPORT) !== 0,
      // A cluster's worker listens for itself, as every socket of Coronet's does.
      exclusive: true,
    };
    return new Promise((resolve) => {
      const failed = (error: Error): void => resolve(-bindError(errnoOf(error), sockaddr));
      server.once("error", failed);
      server.listen(options, () => {
        server.off("error", failed);
        // Out of file descriptors: Node goes on by itself once there are some.
        server.on("error", ignore);
        this.opened(sockaddr);
        resolve(0);
      });
    });
  }

  private opened(sockaddr: Uint8Array): void {
    const bound = socketAddress(sockaddr);
    if (bound === undefined || bound.family === AF_UNIX) {
      this.socket.local = sockaddr;
      this.path = bound?.path[0] === 0 ? undefined : (this.server.address() as string);
      this.file = identityOf(this.path);
      return;
    }
    const { address, port } = this.server.address() as AddressInfo;
    this.socket.local = inetName(address, port, bound.scope);
  }

  watch(readiness: Readiness): void {
    this.readiness = readiness;
    if (this.waiting.length > 0) readiness.notify(true, false, false);
  }

  /** The connection that has waited longest. */
  accept(): Socket | undefined {
    const socket = this.waiting.shift();
    socket?.off("error", ignore);
    return socket;
  }

  private readonly onConnection = (socket: Socket): void => {
    socket.unref();
    socket.on("error", ignore);
    this.waiting.push(socket);
    this.readiness?.notify(true, false, false);
  };

  /** Stops listening; who was not accepted is reset, as by the kernel. */
  close(): void {
    this.readiness = undefined;
    keeping(this.path, this.file, () => this.server.close());
    for (let socket = this.waiting.shift(); socket !== undefined; socket = this.waiting.shift()) {
      if (this.socket.family === AF_UNIX) socket.destroy();
      else socket.resetAndDestroy();
    }
  }
}

/** libuv says EACCES where a unix socket's folder does not exist, as on Windows. */
function bindError(number: number, sockaddr: Uint8Array): number {
  const where = whereOf(sockaddr);
  const missing = number === EACCES && "path" in where && !existsSync(dirname(where.path));
  return missing ? ENOENT : number;
}

function identityOf(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  try {
    const { dev, ino } = lstatSync(path);
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}

/** Closes a listener. libuv removes its path, whatever stands there now: something else is kept. */
function keeping(path: string | undefined, file: string | undefined, close: () => void): void {
  const now = identityOf(path);
  if (path === undefined || now === undefined || now === file) {
    close();
    return;
  }
  const aside = `${path}.${process.pid}`;
  try {
    linkSync(path, aside);
  } catch {
    // What cannot be linked (a folder) cannot be removed by libuv either.
    close();
    return;
  }
  close();
  if (identityOf(path) === undefined) renameSync(aside, path);
  else unlinkSync(aside);
}
