/** cosocket.test.ts: a connection from a pool passes the suite of Conn. */
import { connSuite } from "../../testing/conn_suite.ts";
import { pooledPair } from "../../testing/conns.ts";

connSuite("pooled, on its second user", { pair: () => pooledPair(false) });
connSuite("pooled, read through a buffer", { pair: () => pooledPair(true) });
