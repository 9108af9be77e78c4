/** duplex_conformance.test.ts: a conn over one of Node's streams passes the suite of Conn. */
import { connSuite } from "../../testing/conn_suite.ts";
import { memoryDuplexPair, nodeSocketPair } from "../../testing/duplexes.ts";

connSuite("fromDuplex, streams in memory", { pair: memoryDuplexPair });
connSuite("fromDuplex, sockets of node:net", { pair: nodeSocketPair });
