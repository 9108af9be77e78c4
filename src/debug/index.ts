/**
 * coronet/debug: seeing a program run. This file is the public surface, and nothing else.
 *
 * node --import coronet/debug switches it on for a program that knows nothing of it (start.ts).
 */
import { startIfAsked } from "./start.ts";

export { publishDiagnostics } from "./diagnostics.ts";
export {
  type Dump,
  type DumpOptions,
  type FormatOptions,
  formatDump,
  type GoroutineDump,
  takeDump as dump,
  type WaitDump,
} from "./dump.ts";
export {
  type Leak,
  type LeakCheck,
  LeakError,
  type LeakOptions,
  type TestHooks,
  verifyNoLeaks,
  verifyNoLeaksInEach,
} from "./leaks.ts";
export { type Lockup, type LockWatchOptions, watchLocks } from "./locks.ts";
export { gatherMeters, shareMeters } from "./meters/gather.ts";
export {
  type Flow,
  type HistogramSnapshot,
  type ListenerFlow,
  type Meters,
  meterSeries,
  meters,
  type RequestMeter,
  type Series,
  type WaitMeter,
  watchMeters,
} from "./meters/meters.ts";
export { type MetricRegistry, type Metrics, type MetricsOptions, metrics } from "./metrics.ts";
export { type Labels, setLabels, watchGoroutines } from "./registry.ts";
export { type Debugging, type DebuggingOptions, startDebugging } from "./start.ts";

startIfAsked();
