/** duplexes.ts: connected pairs of Node's streams, as conns: in memory, and over a socket. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { type Conn, fromDuplex } from "../src/index.ts";
import type { SocketPair } from "./conns.ts";

type Done = (error?: Error | null) => void;

function failure(code: string): Error {
  return Object.assign(new Error(code), { code });
}

/** One of two streams in memory. A chunk is taken when the other one wants to read. */
class Half extends Duplex {
  peer!: Half;
  private wanting = false;
  private waiting: [chunk: Uint8Array | null, done: Done] | undefined = undefined;

  override _read(): void {
    this.wanting = true;
    this.peer.pass();
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: Done): void {
    this.waiting = [chunk, done];
    this.pass();
  }

  override _final(done: Done): void {
    this.waiting = [null, done];
    this.pass();
  }

  override _destroy(error: Error | null, done: Done): void {
    const { peer } = this;
    // As a socket does: an error resets the other end, anything else is the end of its stream.
    process.nextTick(() => {
      if (peer.destroyed) return;
      if (error !== null) peer.destroy(failure("ECONNRESET"));
      else {
        peer.push(null);
        peer.pass();
      }
    });
    done(error);
  }

  private pass(): void {
    const { waiting, peer } = this;
    if (waiting === undefined || !(peer.wanting || peer.destroyed)) return;
    const [chunk, done] = waiting;
    this.waiting = undefined;
    if (peer.destroyed) {
      done(chunk === null ? null : failure("EPIPE"));
      return;
    }
    peer.wanting = false;
    peer.push(chunk);
    process.nextTick(done);
  }
}

/** Two streams in memory: what one writes, the other reads. */
export function duplexPair(): [Duplex, Duplex] {
  const a = new Half();
  const b = new Half();
  a.peer = b;
  b.peer = a;
  return [a, b];
}

/** Two connected sockets of node:net. */
export async function nodeSockets(): Promise<[Socket, Socket]> {
  const server = createServer({ pauseOnConnect: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const accepted = once(server, "connection");
  const a = connect(port, "127.0.0.1");
  await once(a, "connect");
  const [b] = (await accepted) as [Socket];
  server.close();
  return [a, b];
}

function pairOf(x: Duplex, y: Duplex): SocketPair {
  const [a, b]: [Conn, Conn] = [fromDuplex(x), fromDuplex(y)];
  const close = async (): Promise<void> => {
    await a.close();
    await b.close();
  };
  return { a, b, close, [Symbol.asyncDispose]: close };
}

export async function memoryDuplexPair(): Promise<SocketPair> {
  return pairOf(...duplexPair());
}

export async function nodeSocketPair(): Promise<SocketPair> {
  return pairOf(...(await nodeSockets()));
}
