/** portable_scenarios.test.ts: the scenarios of sockets on the portable backend. */
process.env.CORONET_POLLER = "portable";
await import("./dial.test.ts");
await import("./half_close.test.ts");
await import("./linger.test.ts");
await import("./listener.test.ts");
await import("./liveness.test.ts");
