/** portable_datagrams.test.ts: datagrams on the portable backend. */
process.env.CORONET_POLLER = "portable";
await import("./packet_conformance.test.ts");
await import("./packet_conn.test.ts");
await import("./udp.test.ts");
