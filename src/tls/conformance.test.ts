/** conformance.test.ts: a conn over TLS by the addon passes the suite of Conn, on either side. */
import { connSuite } from "../../testing/conn_suite.ts";
import { tlsPair } from "../../testing/conns.ts";
import { overAddon } from "../../testing/tls_facts.ts";

connSuite("tls, the client's side", { ...overAddon, pair: () => tlsPair() });
connSuite("tls, the server's side", { ...overAddon, pair: () => tlsPair({ swapped: true }) });
