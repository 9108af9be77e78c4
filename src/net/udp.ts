/** udp.ts: connections over UDP: sockets with one peer. Those without are packet_conn.ts's. */
import type { FD } from "../poll/fd.ts";
import type { Addr } from "./addr.ts";
import { type ConnOrigin, SocketConn } from "./socket.ts";

/**
 * A UDP socket that has one peer, as dial() makes it. It keeps message boundaries:
 *
 *   read     takes one datagram: EMSGSIZE when the buffer is too small for it (and it is gone), 0 for
 *            an empty one; null only after closeRead()
 *   write    sends one datagram, also an empty one; EMSGSIZE when it is too large for the network
 *   writev   sends all chunks as one datagram
 *   for await gives whole datagrams, which are taken from the kernel in batches
 *
 * What the network says about a datagram (nobody listens there: ECONNREFUSED) is the error of the next
 * operation; the connection stays usable. Datagrams get lost and overtake each other: set a deadline.
 *
 * @example
 * import { dial, go, listenPacket } from "coronet";
 * await using server = await listenPacket("udp", "127.0.0.1:0");
 * go(async () => {
 *   for await (const { data, addr } of server) await server.writeTo(data, addr);
 * });
 * await using conn = await dial("udp", String(server.localAddr));
 * conn.setTimeouts({ read: 1000 });
 * await conn.write("ping");
 * const reply = new Uint8Array(1500);
 * console.log(await conn.read(reply)); // 4
 */
export class UDPConn extends SocketConn {
  /** @internal */
  constructor(fd: FD, origin: ConnOrigin, peer: string | Addr) {
    super(fd, origin, peer);
  }
}
