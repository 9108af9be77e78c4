/** conformance_kinds.test.ts: so does one in TLS 1.2, and one over a unix socket. */
import { connSuite } from "../../testing/conn_suite.ts";
import { tlsPair } from "../../testing/conns.ts";
import { discardMuch } from "../../testing/support.ts";
import { overAddon } from "../../testing/tls_facts.ts";

const UNIX = "unread bytes are in this process by then, and a unix socket is not reset otherwise";

connSuite("tls 1.2, the client's side", {
  ...overAddon,
  pair: () => tlsPair({ client: { maxVersion: "TLSv1.2" } }),
});
connSuite("tls over a unix socket", {
  ...overAddon,
  pair: () => tlsPair({ network: "unix" }),
  features: { ...overAddon.features, reset: discardMuch },
  skips: { ...overAddon.skips, "closing with unread data resets the peer": UNIX },
});
