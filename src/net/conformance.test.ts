/** conformance.test.ts: every kind of connection passes the suite of Conn. */
import { lacksAbstractNames, onPortable } from "../../testing/backend.ts";
import { connSuite } from "../../testing/conn_suite.ts";
import {
  abstractPair,
  dualStackPair,
  lacksIPv6,
  pipePair,
  resetTCP,
  tcp6Pair,
  tcpPair,
  unixPair,
} from "../../testing/conns.ts";
import { discardMuch } from "../../testing/support.ts";

const tcp = { features: { reset: resetTCP } };

// Node has read a few bytes before anybody asks for them; the kernel then knows of no unread ones.
const portableUnix = {
  features: { reset: discardMuch },
  skips: {
    "closing with unread data resets the peer": "Node can't reset a unix socket",
  },
};
const unix = onPortable ? portableUnix : {};

connSuite("tcp4", { pair: tcpPair, ...tcp });
connSuite("tcp6", { pair: tcp6Pair, unavailable: lacksIPv6(), ...tcp });
connSuite("tcp, a dual-stack listener dialled by IPv4", { pair: dualStackPair, ...tcp });
connSuite("unix, a path", { pair: unixPair, ...unix });
connSuite("unix, an abstract name", {
  pair: abstractPair,
  unavailable: lacksAbstractNames(),
  ...unix,
});
connSuite("pipe", { pair: pipePair });
