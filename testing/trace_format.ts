/**
 * trace_format.ts: checks a trace against the published description of its format ("Trace Event Format",
 * Google, the document that chrome://tracing and Perfetto refer to).
 *
 * What is checked: the JSON object form; the fields that every phase needs and their types; times that
 * are no less than 0; duration events of a track that lie inside each other; async events that have an
 * id and come in pairs; flow events whose start comes first and that stand in a slice; metadata and
 * counters with the arguments that they need.
 *
 * And what Perfetto's importer makes of them beyond that (its src/trace_processor/importers: json/, common/
 * slice_tracker and flow_tracker; docs/getting-started/other-formats.md): it reads entries in the order of time,
 * those of one time as they stand in the file, and keeps a stack for each track, to the nanosecond. It leaves
 * out a slice that reaches beyond the one below it, an arrow that finds no slice on the stack or whose name
 * (id, category, name) was used before. pid and tid are 32 bits wide; tracks have the names of metadata.
 */

interface Entry {
  ph?: unknown;
  name?: unknown;
  cat?: unknown;
  pid?: unknown;
  tid?: unknown;
  ts?: unknown;
  dur?: unknown;
  id?: unknown;
  s?: unknown;
  bp?: unknown;
  args?: unknown;
}

interface Slice {
  from: number;
  to: number;
}

const METADATA = new Map([
  ["process_name", "name"],
  ["thread_name", "name"],
  ["process_labels", "labels"],
  ["process_sort_index", "sort_index"],
  ["thread_sort_index", "sort_index"],
]);
/** Times are written in µs with three places; two that were one may differ by so much. */
const ROUNDING = 0.002;

/** What has begun on a track, in ns. */
type Stack = { from: number; to: number }[];

const nanoseconds = (us: unknown): number => Math.round((us as number) * 1000);
const UINT32 = 2 ** 32;

/** Reads entries as Perfetto does. */
class Importer {
  readonly problems: string[] = [];
  private readonly stacks = new Map<string, Stack>();
  private readonly flows = new Set<string>();
  private readonly async = new Map<string, string[]>();

  run(entries: readonly Entry[]): void {
    const timed = entries.filter(({ ph }) => ph !== "M");
    const sorted = [...timed].sort((a, b) => nanoseconds(a.ts) - nanoseconds(b.ts));
    const at = timed.findIndex((entry, i) => entry !== sorted[i]);
    if (at !== -1) this.bad(timed[at] as Entry, "it does not stand in the order of time");
    for (const entry of sorted) this.take(entry);
  }

  private bad(entry: Entry, what: string): void {
    if (this.problems.length < 50) this.problems.push(`${JSON.stringify(entry)}: ${what}`);
  }

  private take(entry: Entry): void {
    const { ph, pid, tid, ts, dur } = entry;
    if (Math.abs(nanoseconds(ts) / 1000 - (ts as number)) > 1e-6) {
      this.bad(entry, "ts is finer than a nanosecond");
    }
    const key = `${pid} ${tid}`;
    const stack = this.stacks.get(key) ?? [];
    this.stacks.set(key, stack);
    if (ph === "X") this.begin(entry, stack, nanoseconds(ts) + nanoseconds(dur));
    else if (ph === "i") this.begin(entry, stack, nanoseconds(ts));
    else if (ph === "s" || ph === "f") this.flow(entry, stack);
    else if (ph === "b" || ph === "e") this.asyncOf(entry);
  }

  private begin(entry: Entry, stack: Stack, to: number): void {
    const from = nanoseconds(entry.ts);
    for (let top = stack.at(-1); top !== undefined && top.to <= from; top = stack.at(-1))
      stack.pop();
    const around = stack.at(-1);
    if (around !== undefined && to > around.to) {
      this.bad(
        entry,
        `it reaches beyond the slice ${around.from}..${around.to} (ns) that it is in`,
      );
    } else stack.push({ from, to });
  }

  private flow(entry: Entry, stack: Stack): void {
    const { ph, id, cat, name, ts } = entry;
    const top = stack.at(-1);
    const time = nanoseconds(ts);
    if (top === undefined) this.bad(entry, "no slice has begun on its track");
    // The importer takes one that is over as well; the arrow would point to what was before.
    else if (top.to < time) this.bad(entry, "the last slice of its track is over");
    const key = JSON.stringify([id, cat, name]);
    if (ph === "f") {
      if (!this.flows.has(key)) this.bad(entry, "an arrow's end stands before its start");
    } else if (this.flows.has(key)) this.bad(entry, "the arrow's id has been used");
    else this.flows.add(key);
  }

  /** Those of one category and id are a stack of their own. */
  private asyncOf(entry: Entry): void {
    const { ph, pid, id, cat, name } = entry;
    const key = JSON.stringify([pid, cat, id]);
    const stack = this.async.get(key) ?? [];
    this.async.set(key, stack);
    if (ph === "b") stack.push(String(name));
    else if (stack.pop() !== name) this.bad(entry, "it ends another one than the innermost");
  }
}

/** Every track has one name, and so has every process. */
function namesMissing(entries: readonly Entry[]): string[] {
  const names = new Map<string, number>();
  for (const { ph, name, pid, tid } of entries) {
    if (ph !== "M") continue;
    const key = name === "process_name" ? `process ${pid}` : `${name} ${pid} ${tid}`;
    names.set(key, (names.get(key) ?? 0) + 1);
  }
  const problems = [...names].filter(([, n]) => n > 1).map(([key]) => `${key} is given twice`);
  const wanted = new Set<string>();
  for (const { ph, pid, tid } of entries) {
    if (ph === "M") continue;
    wanted.add(`process ${pid}`).add(`thread_name ${pid} ${tid}`);
  }
  for (const key of wanted) if (!names.has(key)) problems.push(`${key} is missing`);
  return problems;
}

class Checker {
  readonly problems: string[] = [];
  readonly slices = new Map<string, Slice[]>();
  private readonly open = new Map<string, number>();
  private readonly flows: { at: number; entry: Entry }[] = [];

  private bad(index: number, entry: Entry, what: string): void {
    if (this.problems.length < 50) {
      this.problems.push(`traceEvents[${index}] ${JSON.stringify(entry)}: ${what}`);
    }
  }

  check(index: number, entry: Entry): void {
    const bad = (what: string): void => this.bad(index, entry, what);
    const { ph, name, pid, tid, ts, dur, args } = entry;
    if (typeof ph !== "string" || ph.length !== 1) {
      bad("ph is no single character");
      return;
    }
    if (typeof name !== "string" || name === "") bad("name is no text");
    for (const number of [pid, tid] as number[]) {
      if (!Number.isInteger(number) || number < 0 || number >= UINT32) {
        bad("pid or tid is no integer of 32 bits");
      }
    }
    if (typeof ts !== "number" || !(ts >= 0)) {
      bad("ts is no time");
      return;
    }
    if (args !== undefined && (typeof args !== "object" || args === null)) bad("args is no object");
    switch (ph) {
      case "X":
        if (typeof dur !== "number" || !(dur >= 0)) {
          bad("dur is no duration");
          return;
        }
        this.slice(entry, ts, ts + dur);
        return;
      case "i":
        if (!["g", "p", "t", undefined].includes(entry.s as string)) bad("s is not g, p or t");
        return;
      case "C":
        this.counter(entry, bad);
        return;
      case "M":
        this.metadata(entry, bad);
        return;
      case "b":
      case "e":
        this.async(ph, entry, bad);
        return;
      case "s":
      case "f":
        if (entry.id === undefined || typeof entry.cat !== "string") bad("a flow needs id and cat");
        if (entry.bp !== undefined && entry.bp !== "e") bad("bp is not e");
        this.flows.push({ at: index, entry });
        return;
      default:
        bad("a phase that this check does not know");
    }
  }

  private slice(entry: Entry, from: number, to: number): void {
    const track = `${entry.pid} ${entry.tid}`;
    const slices = this.slices.get(track) ?? [];
    slices.push({ from, to });
    this.slices.set(track, slices);
  }

  private counter({ args }: Entry, bad: (what: string) => void): void {
    const values = Object.values((args ?? {}) as object);
    if (values.length === 0 || values.some((value) => !Number.isFinite(value))) {
      bad("a counter needs numbers");
    }
  }

  private metadata({ name, args }: Entry, bad: (what: string) => void): void {
    const needs = METADATA.get(String(name));
    if (needs === undefined) bad("metadata of an unknown name");
    else if (!(needs in ((args ?? {}) as object))) bad(`metadata without args.${needs}`);
  }

  private async(ph: string, entry: Entry, bad: (what: string) => void): void {
    const { id, cat, name } = entry;
    if (id === undefined || typeof cat !== "string") {
      bad("an async event needs id and cat");
      return;
    }
    const key = JSON.stringify([cat, id, name]);
    const open = this.open.get(key) ?? 0;
    if (ph === "e" && open === 0) bad("an async end without its begin");
    this.open.set(key, open + (ph === "b" ? 1 : -1));
  }

  finish(): void {
    for (const [key, open] of this.open) {
      if (open > 0) this.problems.push(`the async event ${key} does not end`);
    }
    for (const [track, slices] of this.slices) this.nesting(track, slices);
    this.flowEnds();
  }

  private nesting(track: string, slices: Slice[]): void {
    slices.sort((a, b) => a.from - b.from || b.to - a.to);
    const around: Slice[] = [];
    for (const slice of slices) {
      while (around.length > 0 && (around.at(-1) as Slice).to <= slice.from + ROUNDING)
        around.pop();
      const outer = around.at(-1);
      if (outer !== undefined && slice.to > outer.to + ROUNDING) {
        this.problems.push(
          `track ${track}: the slice ${slice.from}..${slice.to} overlaps ${outer.from}..${outer.to}`,
        );
        return;
      }
      around.push(slice);
    }
  }

  private flowEnds(): void {
    const starts = new Map<unknown, Entry>();
    for (const { entry } of this.flows) if (entry.ph === "s") starts.set(entry.id, entry);
    for (const { at, entry } of this.flows) {
      const { ph, id, pid, tid, ts } = entry;
      const start = starts.get(id);
      if (start === undefined) this.bad(at, entry, "a flow without its start");
      else if ((start.ts as number) > (ts as number))
        this.bad(at, entry, "it ends before its start");
      const slices = this.slices.get(`${pid} ${tid}`) ?? [];
      const time = ts as number;
      const inside = slices.some((s) => s.from <= time + ROUNDING && s.to >= time - ROUNDING);
      if (!inside) this.bad(at, entry, `the flow's ${ph === "s" ? "start" : "end"} is in no slice`);
    }
  }
}

/** What is wrong with a trace; nothing when it is as the format wants it. */
export function traceProblems(text: string): string[] {
  let trace: { traceEvents?: unknown; displayTimeUnit?: unknown };
  try {
    trace = JSON.parse(text);
  } catch (error) {
    return [`no JSON: ${(error as Error).message}`];
  }
  if (!Array.isArray(trace?.traceEvents)) return ["there is no array traceEvents"];
  const checker = new Checker();
  if (![undefined, "ms", "ns"].includes(trace.displayTimeUnit as string)) {
    checker.problems.push("displayTimeUnit is neither ms nor ns");
  }
  trace.traceEvents.forEach((entry: Entry, index) => {
    checker.check(index, entry);
  });
  checker.finish();
  // What is no entry at all has been said; nothing more can be said of it.
  if (checker.problems.length > 0) return checker.problems;
  const importer = new Importer();
  importer.run(trace.traceEvents);
  return [...importer.problems, ...namesMissing(trace.traceEvents)];
}
