/** Helpers for tests of Coronet and of programs that use it: `coronet/testing`. */

export {
  type Leak,
  type LeakCheck,
  LeakError,
  type LeakOptions,
  verifyNoLeaks,
  verifyNoLeaksInEach,
} from "../src/debug/leaks.ts";
export { type Bubble, BubbleError, type BubbleOptions, bubble } from "./bubble.ts";
export {
  type Certificate,
  type CertificateOptions,
  makeCertificate,
  selfSigned,
} from "./certificates.ts";
export {
  type ConnFeatures,
  type ConnPair,
  type ConnSuiteOptions,
  connSuite,
  type Fact,
} from "./conn_suite.ts";
export {
  abstractName,
  abstractPair,
  connect,
  dualStackPair,
  lacksIPv6,
  pipePair,
  resetTCP,
  type SocketPair,
  socketFolder,
  socketPair,
  tcp6Pair,
  tcpPair,
  unixPair,
} from "./conns.ts";
export { FakeClock } from "./fake_clock.ts";
export { type Census, census, openFds, withLeakCheck } from "./leaks.ts";
export { type PacketSuiteOptions, packetSuite } from "./packet_suite.ts";
