/**
 * profile.ts: profile(): one of this thread's profiles, as bytes that `go tool pprof` reads.
 */
import { setTimeout } from "node:timers/promises";
import { takeDump } from "../dump.ts";
import { blocks, mutexes } from "./contention.ts";
import { frameOf, ProfileBuilder } from "./encode.ts";
import { cpuProfile, heapProfile, heapSinceRate } from "./inspector.ts";

/**
 * cpu: where time was spent. heap: what was allocated and lives. allocs: what was allocated.
 * goroutine: every goroutine. block: waits for each other. mutex: who held others up.
 */
export type ProfileKind = "cpu" | "heap" | "allocs" | "goroutine" | "block" | "mutex";

export const PROFILES: readonly ProfileKind[] = [
  "cpu",
  "heap",
  "allocs",
  "goroutine",
  "block",
  "mutex",
];

export interface ProfileOptions {
  /**
   * For how long: 30 for cpu, 5 for allocs and (unless setHeapProfileRate is on) heap. With it block and
   * mutex have what came in that time, and without it what came since their rates were set.
   */
  seconds?: number;
  /** Ends the time early; the profile has what there was until then. */
  signal?: AbortSignal | undefined;
}

const CPU_SECONDS = 30;
const HEAP_SECONDS = 5;

/** @internal For who looks from elsewhere: what looks must not keep the process alive. */
export interface RemoteProfileOptions extends ProfileOptions {
  referenced?: boolean;
}

/**
 * A profile of this thread, in pprof's format: gzipped protobuf.
 *
 * @example
 * import { profile } from "coronet/debug";
 * import { writeFile } from "node:fs/promises";
 * import { tmpdir } from "node:os";
 * const bytes = await profile("cpu", { seconds: 0.1 });
 * await writeFile(`${tmpdir()}/cpu.pprof`, bytes); // go tool pprof -top /tmp/cpu.pprof
 * console.log(bytes[0] === 0x1f); // true
 */
export async function profile(
  kind: ProfileKind,
  options: ProfileOptions = {},
): Promise<Uint8Array> {
  const { seconds, signal, referenced = true } = options as RemoteProfileOptions;
  if (seconds !== undefined && !(seconds > 0 && seconds < 86_400)) {
    throw new RangeError(`profile: seconds between 0 and 86400, not ${seconds}`);
  }
  const wait = (most: number) => (): Promise<void> => pause(seconds ?? most, signal, referenced);
  switch (kind) {
    case "cpu":
      return await cpuProfile(wait(CPU_SECONDS));
    case "heap":
      return heapSinceRate() ?? (await heapProfile(wait(HEAP_SECONDS), false));
    case "allocs":
      return await heapProfile(wait(HEAP_SECONDS), true);
    case "goroutine":
      return await goroutineProfile();
    case "block":
    case "mutex": {
      const sums = kind === "block" ? blocks : mutexes;
      if (seconds === undefined) return sums.encode();
      const before = sums.snapshot();
      await wait(0)();
      return sums.encode(before);
    }
    default:
      throw new TypeError(`profile: one of ${PROFILES.join(", ")}, not "${kind}"`);
  }
}

/** Not Coronet's sleep: what looks must not be seen in what it looks at. */
async function pause(
  seconds: number,
  signal: AbortSignal | undefined,
  ref: boolean,
): Promise<void> {
  try {
    await setTimeout(seconds * 1000, undefined, {
      ref,
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    if (signal?.aborted !== true) throw error;
  }
}

/** Each goroutine where it waits, above it the place where it was started. */
async function goroutineProfile(): Promise<Uint8Array> {
  const kind = ["goroutine", "count"] as const;
  const builder = new ProfileBuilder([kind], kind, 1);
  const began = Date.now();
  for (const { name, waits, origin, labels } of (await takeDump()).goroutines) {
    const stack = (waits[0]?.stack ?? []).map(frameOf);
    if (waits[0] !== undefined) stack.unshift(runtimeFrame(waits[0].kind));
    // What is known of one that nobody watched: its function, and where go() was called.
    if (stack.length === 0) stack.push(runtimeFrame(name));
    if (origin !== undefined) stack.push(frameOf(`go ${name} (${origin.split(" or ")[0]})`));
    builder.add(stack, [1], labels);
  }
  return builder.encode(began, 0);
}

function runtimeFrame(name: string): ReturnType<typeof frameOf> {
  return { name, file: "", line: 0, startLine: 0 };
}
