/**
 * inspector.ts: CPU and heap profiles, which V8 takes through node:inspector, as pprof profiles.
 *
 * They are this thread's: a worker thread takes its own.
 */
import { Session } from "node:inspector";
import type { Labels } from "../labels.ts";
import { type Frame, ProfileBuilder, pathOf } from "./encode.ts";
import { Timeline } from "./timeline.ts";

/** Microseconds between two samples of a CPU profile: 100 a second, as Go's. */
const INTERVAL = 10_000;
/** With these V8 says that no JavaScript ran. */
const IDLE = new Set(["(idle)", "(root)"]);

interface CallFrame {
  functionName: string;
  url: string;
  /** From 0; -1 when it is not known. */
  lineNumber: number;
}

interface CpuNode {
  id: number;
  callFrame: CallFrame;
  children?: number[];
  /** Which lines of the function were running, and how often. */
  positionTicks?: { line: number; ticks: number }[];
}

/** What Profiler.stop gives (Chrome DevTools Protocol, "Profiler.Profile"); times in µs. */
export interface CpuProfile {
  nodes: CpuNode[];
  startTime: number;
  endTime: number;
  samples?: number[];
  timeDeltas?: number[];
}

interface HeapNode {
  callFrame: CallFrame;
  selfSize: number;
  children: HeapNode[];
}

/** One conversation with V8. */
class Inspector implements Disposable {
  private readonly session = new Session();

  constructor() {
    this.session.connect();
  }

  // The inspector answers its own thread's questions before post() returns.
  call(method: string, params: object = {}): unknown {
    let failure: Error | null = null;
    let answer: unknown;
    this.session.post(method, params, (error, result) => {
      failure = error;
      answer = result;
    });
    if (failure !== null) throw failure;
    return answer;
  }

  [Symbol.dispose](): void {
    this.session.disconnect();
  }
}

function frameOf({ functionName, url, lineNumber }: CallFrame, line = 0): Frame {
  const startLine = Math.max(0, lineNumber + 1);
  return {
    name: functionName === "" ? "(anonymous)" : functionName,
    file: pathOf(url),
    line: line === 0 ? startLine : line,
    startLine,
  };
}

// ---- CPU

let recording = false;

/** Takes samples until `wait` is over. Rejects when a CPU profile is being taken already. */
export async function cpuProfile(wait: () => Promise<void>): Promise<Uint8Array> {
  if (recording) throw new Error("a CPU profile of this thread is being taken already");
  recording = true;
  using inspector = new Inspector();
  const timeline = new Timeline();
  const began = Date.now();
  try {
    inspector.call("Profiler.enable");
    inspector.call("Profiler.setSamplingInterval", { interval: INTERVAL });
    inspector.call("Profiler.start");
    await wait();
    const { profile } = inspector.call("Profiler.stop") as { profile: CpuProfile };
    return convertCpu(profile, timeline, began);
  } finally {
    timeline.stop();
    recording = false;
  }
}

/** A CPU profile of V8's as one of pprof's: how often, and nanoseconds. */
export function convertCpu(
  profile: CpuProfile,
  timeline: Pick<Timeline, "at">,
  began: number,
): Uint8Array {
  const { nodes, samples = [], timeDeltas = [], startTime, endTime } = profile;
  const builder = new ProfileBuilder(
    [
      ["samples", "count"],
      ["cpu", "nanoseconds"],
    ],
    ["cpu", "nanoseconds"],
    INTERVAL * 1000,
  );
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map<number, CpuNode>();
  for (const node of nodes) for (const child of node.children ?? []) parents.set(child, node);
  const lines = new Map(nodes.map((node) => [node.id, linesOf(node)]));
  let now = startTime;
  const moments = timeDeltas.map((delta) => (now += delta));
  const labels: Labels[] = timeline.at(moments);
  samples.forEach((id, i) => {
    const leaf = byId.get(id);
    if (leaf === undefined || IDLE.has(leaf.callFrame.functionName)) return;
    // A sample stands for the time until the next one.
    const lasts = (moments[i + 1] ?? endTime) - (moments[i] as number);
    const stack = [frameOf(leaf.callFrame, lines.get(id)?.next().value ?? 0)];
    for (let node = parents.get(id); node !== undefined; node = parents.get(node.id)) {
      if (!IDLE.has(node.callFrame.functionName)) stack.push(frameOf(node.callFrame));
    }
    builder.add(stack, [1, Math.max(0, lasts) * 1000], labels[i]);
  });
  return builder.encode(began, (endTime - startTime) / 1000);
}

/** A node's lines, each as often as it was seen; which sample it was of is not known. */
function* linesOf({ positionTicks = [] }: CpuNode): Generator<number, number> {
  for (const { line, ticks } of positionTicks) for (let i = 0; i < ticks; i++) yield line;
  return positionTicks[0]?.line ?? 0;
}

// ---- heap

/** Bytes between two samples: as Go's runtime.MemProfileRate. */
const HEAP_RATE = 512 * 1024;

let sampling: { inspector: Inspector; rate: number; began: number } | undefined;

/**
 * Samples allocations from now on, one in `bytes` bytes on average (Go: runtime.MemProfileRate, 512 KiB
 * there); 0 stops. profile("heap") then gives what has been allocated since and still lives.
 *
 * @example
 * import { profile, setHeapProfileRate } from "coronet/debug";
 * setHeapProfileRate(64 * 1024);
 * const kept = Array.from({ length: 100_000 }, (_, i) => ({ i }));
 * console.log(kept.length, (await profile("heap")).length > 0); // 100000 true
 * setHeapProfileRate(0);
 */
export function setHeapProfileRate(bytes: number): void {
  if (!Number.isSafeInteger(bytes) || bytes < 0) {
    throw new RangeError(`setHeapProfileRate: a whole number of bytes from 0, not ${bytes}`);
  }
  if (sampling !== undefined) {
    sampling.inspector.call("HeapProfiler.stopSampling");
    sampling.inspector[Symbol.dispose]();
    sampling = undefined;
  }
  if (bytes === 0) return;
  const inspector = startSampling(bytes, false);
  sampling = { inspector, rate: bytes, began: Date.now() };
}

function startSampling(rate: number, collected: boolean): Inspector {
  const inspector = new Inspector();
  inspector.call("HeapProfiler.startSampling", {
    samplingInterval: rate,
    includeObjectsCollectedByMajorGC: collected,
    includeObjectsCollectedByMinorGC: collected,
  });
  return inspector;
}

/** What has been allocated since setHeapProfileRate and lives; undefined when that is off. */
export function heapSinceRate(): Uint8Array | undefined {
  if (sampling === undefined) return undefined;
  const { inspector, rate, began } = sampling;
  const { profile } = inspector.call("HeapProfiler.getSamplingProfile") as HeapAnswer;
  return convertHeap(profile.head, "inuse_space", rate, began);
}

interface HeapAnswer {
  profile: { head: HeapNode };
}

/** Samples what is allocated until `wait` is over: what lives then, or (`all`) all of it. */
export async function heapProfile(wait: () => Promise<void>, all: boolean): Promise<Uint8Array> {
  if (sampling !== undefined || recordingHeap) {
    throw new Error("allocations of this thread are being sampled already");
  }
  recordingHeap = true;
  const began = Date.now();
  try {
    using inspector = startSampling(HEAP_RATE, all);
    await wait();
    const { profile } = inspector.call("HeapProfiler.stopSampling") as HeapAnswer;
    return convertHeap(profile.head, all ? "alloc_space" : "inuse_space", HEAP_RATE, began);
  } finally {
    recordingHeap = false;
  }
}

let recordingHeap = false;

function convertHeap(head: HeapNode, type: string, rate: number, began: number): Uint8Array {
  const builder = new ProfileBuilder([[type, "bytes"]], ["space", "bytes"], rate);
  const walk = (node: HeapNode, above: readonly Frame[]): void => {
    const root = node.callFrame.functionName === "(root)";
    const stack = root ? above : [frameOf(node.callFrame), ...above];
    if (node.selfSize > 0) builder.add(stack, [node.selfSize]);
    for (const child of node.children) walk(child, stack);
  };
  walk(head, []);
  return builder.encode(began, Date.now() - began);
}
