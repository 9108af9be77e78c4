// The certificate of all TLS servers: files that BENCH_TLS_CERT and BENCH_TLS_KEY name. Undefined without:
// the servers of HTTP speak HTTP/1.1 in the clear then, and HTTP/2 over TLS with it.
import { readFileSync } from "node:fs";

export function pair() {
  const { BENCH_TLS_CERT, BENCH_TLS_KEY } = process.env;
  if (BENCH_TLS_CERT === undefined) return undefined;
  return {
    cert: readFileSync(BENCH_TLS_CERT, "utf8"),
    key: readFileSync(BENCH_TLS_KEY, "utf8"),
  };
}
