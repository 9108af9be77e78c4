/** portable_conformance.test.ts: the suite of Conn on the portable backend, in a process of its own. */
process.env.CORONET_POLLER = "portable";
await import("./conformance.test.ts");
