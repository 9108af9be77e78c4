/** packet_conformance.test.ts: every network of datagrams passes the suite of PacketConn. */
import { nativeOnly } from "../../testing/backend.ts";
import { abstractName, lacksIPv6 } from "../../testing/conns.ts";
import { packetSuite } from "../../testing/packet_suite.ts";
import { listenPacket } from "../index.ts";

packetSuite("udp4", { open: () => listenPacket("udp4", "127.0.0.1:0") });
packetSuite("udp6", { open: () => listenPacket("udp6", "[::1]:0"), unavailable: lacksIPv6() });

const unavailable = nativeOnly("Node has no unixgram") || undefined;
packetSuite("unixgram, names that the kernel chose", {
  open: () => listenPacket("unixgram", ""),
  unavailable,
});
packetSuite("unixgram, abstract names", {
  open: () => listenPacket("unixgram", abstractName()),
  unavailable,
});
