// The certificate of all TLS servers: files that BENCH_TLS_CERT and BENCH_TLS_KEY name.
import { readFileSync } from "node:fs";

export function pair() {
  const { BENCH_TLS_CERT, BENCH_TLS_KEY } = process.env;
  return {
    cert: readFileSync(BENCH_TLS_CERT, "utf8"),
    key: readFileSync(BENCH_TLS_KEY, "utf8"),
  };
}
