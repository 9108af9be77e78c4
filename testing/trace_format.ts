/**
 * trace_format.ts: checks a trace against the published description of its format ("Trace Event Format",
 * Google, the document that chrome://tracing and Perfetto refer to).
 *
 * What is checked: the JSON object form; the fields that every phase needs and their types; times that
 * are no less than 0; duration events of a track that lie inside each other; async events that have an
 * id and come in pairs; flow events whose start comes first and that stand in a slice; metadata and
 * counters with the arguments that they need.
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
    if (!Number.isInteger(pid) || !Number.isInteger(tid)) bad("pid or tid is no integer");
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
  return checker.problems;
}
