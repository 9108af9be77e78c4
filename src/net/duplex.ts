/**
 * duplex.ts: fromDuplex(): any of Node's duplex streams as a conn.
 *
 * The stream stands behind a kernel (syscall/duplex_kernel.ts), the fd above it is the same as on a
 * socket, so that everything that holds for a conn holds here.
 */
import type { Duplex } from "node:stream";
import { type ErrorDetails, FD } from "../poll/fd.ts";
import type { OpName } from "../poll/op.ts";
import { StreamDevices } from "../runtime/netpoll_streams.ts";
import { runtime } from "../runtime/runtime.ts";
import { DuplexKernel } from "../syscall/duplex_kernel.ts";
import { CANCELED, CLOSED, DEADLINE } from "../syscall/errno.ts";
import { type Addr, TCPAddr } from "./addr.ts";
import { BaseConn } from "./conn.ts";
import type { NetError } from "./errors.ts";
import { NOBODY } from "./socket.ts";

/** The address of a stream that has none. */
class DuplexAddr implements Addr {
  readonly network = "duplex";

  toString(): string {
    return "duplex";
  }
}

const nowhere = new DuplexAddr();

/** What a socket tells of its ends. */
interface Ends {
  localAddress?: string | undefined;
  localPort?: number | undefined;
  remoteAddress?: string | undefined;
  remotePort?: number | undefined;
}

function addrOf(address: string | undefined, port: number | undefined): Addr {
  if (address === undefined || port === undefined) return nowhere;
  const [ip = "", zone] = address.replace(/^::ffff:(?=\d+\.)/i, "").split("%");
  return new TCPAddr(ip, port, zone);
}

/** A conn over one of Node's streams. */
export class DuplexConn extends BaseConn {
  private readonly stream: Duplex & Ends;
  private local: Addr = nowhere;
  private remote: Addr = nowhere;

  /** @internal */
  constructor(fd: FD, stream: Duplex) {
    super(fd);
    this.stream = stream;
    this.look();
  }

  /** "tcp" for a socket over TCP, else "duplex". */
  get network(): string {
    return this.localAddr.network;
  }

  get localAddr(): Addr {
    this.look();
    return this.local;
  }

  get remoteAddr(): Addr {
    this.look();
    return this.remote;
  }

  /** A socket knows its addresses from when it is connected until it is closed. */
  private look(): void {
    if (this.local !== nowhere) return;
    const { stream } = this;
    this.local = addrOf(stream.localAddress, stream.localPort);
    this.remote = addrOf(stream.remoteAddress, stream.remotePort);
  }

  /** @internal The stream's own error says more than its number. */
  override error(op: OpName, number: number, details?: ErrorDetails): NetError {
    const own = number === CLOSED || number === DEADLINE || number === CANCELED;
    const cause = own ? details?.cause : (this.stream.errored ?? details?.cause);
    return super.error(op, number, { ...details, cause });
  }
}

const devices = new StreamDevices(new DuplexKernel());
const taken = new WeakSet<Duplex>();

/**
 * A conn over any duplex stream of Node's: a net.Socket, a tls.TLSSocket, the socket of an HTTP
 * upgrade, Duplex.from({ readable: process.stdin, writable: process.stdout }), … The conn takes the
 * stream over: nobody else may read from it or write to it from now on.
 *
 * A write settles when the stream has taken its bytes, of which it may hold 64 KiB that it could not
 * pass on yet; close() passes them on before it destroys the stream, and closeWrite() ends it after
 * them. Reads take from a queue of 64 KiB; beyond that the stream is paused. Discarding unread bytes by
 * close() resets a socket over TCP, and destroys any other stream with an error.
 *
 * Throws a TypeError for what is no duplex stream of bytes. An error of the stream fails reads and
 * writes with its errno as code (EPROTO where it has none) and with the error itself as cause.
 *
 * @example
 * import { once } from "node:events";
 * import { connect, createServer } from "node:net";
 * import { fromDuplex } from "coronet";
 * const server = createServer((socket) => socket.end("hello")).listen(0, "127.0.0.1");
 * await once(server, "listening");
 * const { port } = server.address() as { port: number };
 * await using conn = fromDuplex(connect(port, "127.0.0.1"));
 * conn.setReadDeadline(new Date(Date.now() + 1000));
 * for await (const chunk of conn) console.log(new TextDecoder().decode(chunk)); // hello
 * server.close();
 */
export function fromDuplex(duplex: Duplex): DuplexConn {
  return fromJudged(duplex, undefined);
}

/** As fromDuplex; `verdict` is asked at the end of the stream: why it is not the peer's, or 0. */
export function fromJudged(duplex: Duplex, verdict: (() => number) | undefined): DuplexConn {
  check(duplex);
  taken.add(duplex);
  const device = devices.on(runtime());
  const sysfd = devices.kernel.adopt(duplex, verdict);
  return new DuplexConn(new FD(device, sysfd, NOBODY, false), duplex);
}

function check(duplex: Partial<Duplex> | null | undefined): asserts duplex is Duplex {
  const is = (wrong: string): TypeError => new TypeError(`fromDuplex: the stream ${wrong}`);
  if (typeof duplex?.resume !== "function" || typeof duplex.write !== "function") {
    throw is("is no duplex stream");
  }
  if (duplex.readableObjectMode === true || duplex.writableObjectMode === true) {
    throw is("is in object mode; a conn carries bytes");
  }
  if (duplex.readableEncoding) throw is("decodes its bytes to text (setEncoding)");
  if (taken.has(duplex as Duplex)) throw is("has been taken over by a conn already");
}
