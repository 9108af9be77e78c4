/** conformance.test.ts: every kind of connection passes the suite of Conn. */
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

const tcp = { features: { reset: resetTCP } };

connSuite("tcp4", { pair: tcpPair, ...tcp });
connSuite("tcp6", { pair: tcp6Pair, unavailable: lacksIPv6(), ...tcp });
connSuite("tcp, a dual-stack listener dialled by IPv4", { pair: dualStackPair, ...tcp });
connSuite("unix, a path", { pair: unixPair });
connSuite("unix, an abstract name", { pair: abstractPair });
connSuite("pipe", { pair: pipePair });
