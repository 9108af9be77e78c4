/** conformance.test.ts: a conn over TLS passes the suite of Conn, on either side and on either path. */
import { onPortable } from "../../testing/backend.ts";
import { type ConnSuiteOptions, connSuite } from "../../testing/conn_suite.ts";
import { nodeTlsPair, tlsPair } from "../../testing/conns.ts";
import { discardMuch } from "../../testing/support.ts";

const CUT = "a write that close cuts short leaves a truncated stream, and the peer is told so";
const UNIX = "unread bytes are in this process by then, and a unix socket is not reset otherwise";
const COUNTED = "the bytes of the conn below, where records travel, are counted as well";
const NODE = "node:tls tells of no reset of the stream below";
const TAKES = "after the write that failed, node:tls may take one more";

const native: Partial<ConnSuiteOptions> = {
  unavailable: onPortable ? "without the addon TLS is over node:tls" : undefined,
  skips: { "a write that close wakes says how much it wrote": CUT },
};

connSuite("tls, the client's side", { ...native, pair: () => tlsPair() });
connSuite("tls, the server's side", { ...native, pair: () => tlsPair({ swapped: true }) });
connSuite("tls 1.2, the client's side", {
  ...native,
  pair: () => tlsPair({ client: { maxVersion: "TLSv1.2" } }),
});
connSuite("tls over a unix socket", {
  ...native,
  pair: () => tlsPair({ network: "unix" }),
  features: { reset: discardMuch },
  skips: { ...native.skips, "closing with unread data resets the peer": UNIX },
});

const overNode: Partial<ConnSuiteOptions> = {
  skips: {
    "the bytes are counted in the statistics": COUNTED,
    "closing with unread data resets the peer": NODE,
    "a reset is ECONNRESET to a read that waits, and to every later read, never the end": NODE,
    "a reset that waitReadable saw first is ECONNRESET to the reads after it": NODE,
    "the readable stream fails with the connection's error": NODE,
    "an error that the peer caused has its caller in the stack": NODE,
    "a reset comes after what was put back": NODE,
  },
};

connSuite("tls over node:tls, the client's side", {
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
