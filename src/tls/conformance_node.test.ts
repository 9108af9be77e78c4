/** conformance_node.test.ts: a conn over node:tls passes the suite of Conn, on either side. */
import { connSuite } from "../../testing/conn_suite.ts";
import { nodeTlsPair } from "../../testing/conns.ts";
import { overNode } from "../../testing/tls_facts.ts";

const TAKES = "after the write that failed, node:tls may take one more";

connSuite("tls over node:tls, the client's side", {
  ...overNode,
  skips: {
    ...overNode.skips,
    "writing to a peer that has closed fails in the end, and never crashes": TAKES,
  },
  pair: () => nodeTlsPair(),
});
connSuite("tls over node:tls, the server's side", {
  ...overNode,
  pair: () => nodeTlsPair({ swapped: true }),
});
