/**
 * Dials a port on which nobody listens, in a network that has but two ports to dial from, one of which
 * is that port. Sooner or later the kernel connects such a socket with itself.
 */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { dial, NetError } from "../../src/index.ts";

const PORT = 40_000;
execFileSync("ip", ["link", "set", "lo", "up"]);
writeFileSync("/proc/sys/net/ipv4/ip_local_port_range", `${PORT} ${PORT + 1}`);

for (let i = 0; i < 20; i++) {
  for (const port of [PORT, PORT + 1]) {
    try {
      const conn = await dial("tcp", `127.0.0.1:${port}`);
      throw new Error(`connected from ${conn.localAddr} to ${conn.remoteAddr}`);
    } catch (error) {
      // A port that has met itself stays reserved for a while (TIME_WAIT).
      if (!(error instanceof NetError && /^(ECONNREFUSED|EADDRNOTAVAIL)$/.test(error.code)))
        throw error;
    }
  }
}
console.log("refused every time");
