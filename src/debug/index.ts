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
export { type InspectOptions, type Inspector, inspect } from "./inspector/inspect.ts";
export { currentLabels, type Labels, labels, setLabels } from "./labels.ts";
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
export { setBlockProfileRate, setMutexProfileFraction } from "./profile/contention.ts";
export { pprofHandler } from "./profile/handler.ts";
export { setHeapProfileRate } from "./profile/inspector.ts";
export { type ProfileKind, type ProfileOptions, profile } from "./profile/profile.ts";
export { type RaceDetector, startRaceDetector } from "./race/detector.ts";
export {
  type Race,
  type RaceAccess,
  RaceError,
  type RaceMode,
  type RaceOptions,
  raceReport,
} from "./race/report.ts";
export { watchGoroutines } from "./registry.ts";
export { type Debugging, type DebuggingOptions, startDebugging } from "./start.ts";
export { type TraceOptions, trace } from "./trace/trace.ts";

startIfAsked();
