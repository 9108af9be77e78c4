// Idle connections: how much the server's memory grows with each one that has had an echo and
// waits for more.
import { holdIdle } from "../generator.ts";
import { type Memory, openFilesAtMost, settledMemory } from "../proc.ts";
import type { RunningServer } from "../server.ts";
import { slope } from "../stats.ts";
import { type Case, decimals, integer, type Settings, type Suite } from "../suite.ts";

export interface Point extends Memory {
  open: number;
}

/** The server's memory at each step of a generator that opens connections. */
export async function memoryAtSteps(
  server: RunningServer,
  settings: Settings,
  open: (atStep: (open: number) => Promise<void>) => Promise<void>,
): Promise<Point[]> {
  const points: Point[] = [];
  // Idle means idle: V8 gives memory back only after it has seen nothing happen for 8 to 16 s.
  const [leastMs, mostMs] = settings.quick ? [1500, 3000] : [18_000, 25_000];
  await open(async (count) => {
    points.push({ open: count, ...(await settledMemory(server.pid, leastMs, mostMs)) });
  });
  return points;
}

/** What each connection adds. */
export function growth(points: readonly Point[]): { rss: number; dirty: number } {
  return {
    rss: slope(points.map(({ open, rss }) => ({ x: open, y: rss }))),
    dirty: slope(points.map(({ open, privateDirty }) => ({ x: open, y: privateDirty }))),
  };
}

const FULL_STEPS = [2000, 18_000];
const QUICK_STEPS = [500, 2000];
const OTHER_FILES = 200;

/** As far as the limit of open files lets us go. */
function steps(settings: Settings): number[] {
  const most = openFilesAtMost() - OTHER_FILES;
  const wanted = settings.quick ? QUICK_STEPS : FULL_STEPS;
  if (wanted.at(-1)! <= most) return wanted;
  return [Math.floor(most / 9), most];
}

function idleCase(counts: readonly number[]): Case {
  const first = counts[0]!;
  const last = counts.at(-1)!;
  return {
    key: `${last}`,
    label: `${integer(first)} to ${integer(last)} connections`,
    buffer: 4096,
    async measure(server, settings) {
      const load = { addr: server.address, steps: counts.join(",") };
      const points = await memoryAtSteps(server, settings, (atStep) =>
        holdIdle("idle", settings.placement.generator, load, atStep),
      );
      return {
        figures: { ...growth(points), total: points.at(-1)!.rss / 2 ** 20 },
        othersCpu: 0,
        generatorBound: false,
        detail: points,
      };
    },
  };
}

export const idle: Suite = {
  name: "idle",
  title: "Idle connections: resident memory per connection",
  generators: ["idle"],
  figures: [
    { key: "rss", label: "RSS B/connection", unit: "B", better: "less", format: integer },
    { key: "dirty", label: "dirty B/connection", unit: "B", better: "less", format: integer },
    {
      key: "total",
      label: "RSS at the end, MiB",
      unit: "MiB",
      better: "less",
      format: decimals(1),
    },
  ],
  headlines: ["rss", "dirty"],
  plots: ["rss"],
  ratios: [],
  targets: [{ figure: "rss", atMost: 1000, cases: ["18000"] }],
  rounds: () => 1,
  cases: (settings) => [idleCase(steps(settings))],
};
