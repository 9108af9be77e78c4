/** portable_streams.test.ts: pipes and Node's streams as conns, on the portable backend. */
process.env.CORONET_POLLER = "portable";
await import("./pipe.test.ts");
await import("./duplex.test.ts");
await import("./duplex_conformance.test.ts");
