/** tls_facts.ts: which facts of the suite of Conn do not hold over TLS, each with its reason. */
import type { Conn } from "../src/index.ts";
import type { FD } from "../src/poll/fd.ts";
import { SHUT_WR } from "../src/syscall/constants.ts";
import { TlsFD } from "../src/tls/tls_fd.ts";
import { onNodeTls } from "./backend.ts";
import type { ConnSuiteOptions } from "./conn_suite.ts";

const CUT = "a write that close cuts short leaves a truncated stream, and the peer is told so";
const COUNTED = "the bytes of the conn below, where records travel, are counted as well";
const NODE = "node:tls tells of no reset of the stream below";

/** What a firewall, a crash or an attacker does: the stream below ends without close_notify. */
export async function cut(conn: Conn): Promise<void> {
  const { fd, carrier } = conn as unknown as { fd: FD; carrier: Conn };
  const { kernel } = fd.device.runtime;
  if (fd instanceof TlsFD) kernel.shutdown(fd.sysfd, SHUT_WR);
  else await carrier.closeWrite();
}

export const overAddon: Partial<ConnSuiteOptions> = {
  features: { cut },
  unavailable: onNodeTls ? "without the addon TLS is over node:tls" : undefined,
  skips: { "a write that close wakes says how much it wrote": CUT },
};

export const overNode: Partial<ConnSuiteOptions> = {
  features: { cut },
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
