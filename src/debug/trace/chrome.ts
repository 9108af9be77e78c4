/**
 * chrome.ts: recorded events in the Trace Event Format, which Perfetto and chrome://tracing open
 * ("Trace Event Format", Google; JSON object form).
 *
 * A goroutine is a track: its life is a slice, its waits and regions are slices in that one; an arrow
 * leads from who ended a wait to who waited. The first track is the thread's own: turns, timers, the
 * collector. Tasks are tracks of their own, because they span goroutines.
 *
 * Slices of one track must lie inside each other. Waits of one goroutine need not (Promise.all): one that
 * would overlap another becomes a slice of a track of its own ("b" and "e").
 *
 * Perfetto is stricter than the format: it leaves out a slice that ends a nanosecond after the one around it,
 * and of two that begin at once it takes the first in the file for the outer one; an arrow's end must stand
 * behind the slice that it belongs to. So times are whole nanoseconds, entries are in the order of time, at one
 * time slices first and the longest of them before the others, and what ends all at once ends from the inside out.
 */
import {
  CLOSED,
  COLLECTED,
  ENDED,
  EXHAUSTED,
  FIRED,
  LOGGED,
  MOVED,
  type Names,
  OPENED,
  PARKED,
  QUEUED,
  REGION_BEGIN,
  REGION_END,
  RESUMED,
  STARTED,
  TASK_BEGIN,
  TASK_END,
  TRANSFERRED,
  type TraceEvent,
  TURN,
} from "./recorder.ts";

/** One entry of `traceEvents`; times in µs. */
export interface ChromeEvent {
  ph: "X" | "i" | "C" | "M" | "s" | "f" | "b" | "e";
  name: string;
  cat?: string;
  pid: number;
  tid: number;
  ts: number;
  dur?: number;
  id?: number | string;
  /** Of an instant: it belongs to its track. */
  s?: "t";
  /** Of an arrow's end: the slice around it. */
  bp?: "e";
  args?: Record<string, unknown>;
}

/** What a snapshot is made of. */
export interface Recording {
  events: Iterable<TraceEvent>;
  names: Names;
  /** Goroutines that live now, with their names. */
  live: readonly { id: number; name: string }[];
  /** Goroutines that lived when the oldest event happened: how many is not known, but how many now. */
  now: number;
  pid: number;
  process: string;
}

/** In ms. */
const NANOSECOND = 1e-6;
/** The track of the thread itself. */
const THREAD = 0;
const GC_KINDS = new Map([
  [1, "scavenge"],
  [2, "minor mark-sweep"],
  [4, "mark-sweep-compact"],
  [8, "incremental marking"],
  [16, "weak callbacks"],
]);

/** A slice that has begun. */
interface Open {
  readonly key: string;
  readonly name: string;
  readonly cat: string;
  readonly since: number;
  readonly args: Record<string, unknown> | undefined;
}

/** One goroutine's track. */
class Track {
  name: string | undefined;
  since: number;
  ended = false;
  readonly open: Open[] = [];

  constructor(since: number) {
    this.since = since;
  }
}

class Writer {
  readonly out: ChromeEvent[] = [];
  private readonly recording: Recording;
  private readonly tracks = new Map<number, Track>();
  private readonly tasks = new Map<number, string>();
  private readonly first: number;
  private arrows = 0;
  private separate = 0;
  private live: number;
  private collectedUntil = 0;

  constructor(recording: Recording, first: number, live: number) {
    this.recording = recording;
    this.first = first;
    this.live = live;
  }

  // ---- entries

  private us(time: number): number {
    return Math.round(time * 1e6) / 1e3;
  }

  /** Between the two as they are written: begin and duration give the end to the nanosecond. */
  private between(since: number, time: number): number {
    return Math.max(0, Math.round(time * 1e6) - Math.round(since * 1e6)) / 1e3;
  }

  private put(event: Omit<ChromeEvent, "pid">): void {
    this.out.push({ ...event, pid: this.recording.pid });
  }

  private instant(name: string, cat: string, g: number, time: number, args?: object): void {
    if (g !== THREAD) this.track(g);
    const event = { ph: "i" as const, name, cat, tid: g, ts: this.us(time), s: "t" as const };
    this.put(args === undefined ? event : { ...event, args: args as Record<string, unknown> });
  }

  private counter(name: string, time: number, value: number): void {
    this.put({ ph: "C", name, tid: THREAD, ts: this.us(time), args: { [name]: value } });
  }

  private track(g: number): Track {
    let track = this.tracks.get(g);
    if (track === undefined) {
      // What began before the oldest event is shown from there on.
      track = new Track(this.first);
      this.tracks.set(g, track);
    }
    return track;
  }

  private begin(g: number, open: Open): void {
    this.track(g).open.push(open);
  }

  /**
   * A slice has ended; one that is not the innermost gets a track of its own. Says whether it ends on the
   * goroutine's track.
   */
  private end(g: number, key: string, time: number, args?: Record<string, unknown>): boolean {
    const { open } = this.track(g);
    const at = open.findLastIndex((slice) => slice.key === key);
    if (at === -1) return false;
    const [slice] = open.splice(at, 1) as [Open];
    const details = { ...slice.args, ...args };
    const base = { name: slice.name, cat: slice.cat, tid: g };
    const ts = this.us(slice.since);
    if (at === open.length) {
      this.put({ ph: "X", ...base, ts, dur: this.between(slice.since, time), args: details });
      return true;
    }
    const id = `${g}.${++this.separate}`;
    this.put({ ph: "b", ...base, ts, id, args: details });
    this.put({ ph: "e", ...base, ts: this.us(time), id });
    return false;
  }

  /**
   * From what `from` does now, which needs a mark of its own: the last slice there may long be over. So does
   * the other end unless a slice begins or ends there now.
   */
  private arrow(from: number, to: number, time: number, what: string, marked: boolean): void {
    const id = ++this.arrows;
    const base = { name: "wake", cat: "wake", ts: this.us(time), id };
    this.instant(what, "wake", from, time, { goroutine: to });
    if (!marked) this.instant("ready", "wake", to, time);
    this.put({ ph: "s", ...base, tid: from });
    this.put({ ph: "f", ...base, tid: to, bp: "e" });
  }

  // ---- what happened

  write({ time, type, g, a, b, text }: TraceEvent): void {
    const { names } = this.recording;
    switch (type) {
      case STARTED: {
        const track = this.track(a);
        track.name = names.at(b);
        track.since = time;
        if (g !== 0) this.arrow(g, a, time, "go", true);
        this.counter("goroutines", time, ++this.live);
        break;
      }
      case ENDED:
        this.close(g, time, a === 1);
        this.counter("goroutines", time, --this.live);
        break;
      case PARKED:
        this.begin(g, {
          key: `w${b}`,
          name: names.at(a),
          cat: "wait",
          since: time,
          args: undefined,
        });
        break;
      case RESUMED: {
        const ends = this.end(a, `w${b}`, time);
        if (g !== 0 && g !== a) this.arrow(g, a, time, "wake", ends);
        break;
      }
      case TURN:
        this.instant(b === 0 ? "poll" : "run queue", "turn", THREAD, time, { woken: a });
        this.counter(b === 0 ? "poller batch" : "run queue batch", time, a);
        break;
      case COLLECTED:
        this.collected(time, time + a / 1000, `GC ${GC_KINDS.get(b) ?? ""}`.trim());
        break;
      default:
        this.writeDetail({ time, type, g, a, b, text });
    }
  }

  /** One that began within another and outlasted it is shown from the other's end. */
  private collected(from: number, to: number, name: string): void {
    const since = to > this.collectedUntil ? Math.max(from, this.collectedUntil) : from;
    this.collectedUntil = Math.max(this.collectedUntil, to);
    const dur = this.between(since, to);
    this.put({ ph: "X", name, cat: "gc", tid: THREAD, ts: this.us(since), dur });
  }

  private writeDetail({ time, type, g, a, b, text = "" }: TraceEvent): void {
    const { names } = this.recording;
    switch (type) {
      case QUEUED:
        this.instant("yield", "sched", g, time);
        break;
      case EXHAUSTED:
        this.instant("budget exhausted", "sched", g, time);
        break;
      case MOVED:
        this.instant(b === 0 ? "read" : "write", "io", g, time, { bytes: a });
        break;
      case FIRED:
        this.instant("timer", "timer", THREAD, time, { "late in µs": a });
        break;
      case OPENED:
      case CLOSED:
        this.instant(`${type === OPENED ? "open" : "close"} ${names.at(a)}`, "io", g, time);
        break;
      case TRANSFERRED:
        this.instant(b === 0 ? "transfer out" : "transfer in", "io", g, time);
        break;
      case LOGGED:
        this.instant(text, "log", g, time, a === 0 ? undefined : { task: this.tasks.get(a) ?? a });
        break;
      case TASK_BEGIN:
        this.tasks.set(a, text);
        this.task("b", a, text, g, time);
        break;
      case TASK_END:
        this.task("e", a, text, g, time);
        break;
      case REGION_BEGIN: {
        const args = a === 0 ? undefined : { task: this.tasks.get(a) ?? a };
        this.begin(g, { key: `r${b}`, name: text, cat: "region", since: time, args });
        break;
      }
      case REGION_END:
        this.end(g, `r${b}`, time);
        break;
    }
  }

  private task(ph: "b" | "e", id: number, name: string, tid: number, time: number): void {
    // One whose beginning is lost begins with the recording.
    if (ph === "e" && !this.tasks.has(id)) this.task("b", id, name, tid, this.first);
    if (ph === "b") this.tasks.set(id, name);
    else this.tasks.delete(id);
    this.put({ ph, name, cat: "task", tid, ts: this.us(time), id: `task ${id}` });
  }

  /** A goroutine's life is over, and so is all that it was at. */
  private close(g: number, time: number, failed: boolean | undefined): void {
    const track = this.track(g);
    let end = time;
    for (let inner = track.open.at(-1); inner !== undefined; inner = track.open.at(-1)) {
      this.end(g, inner.key, end);
      end += NANOSECOND;
    }
    const ts = this.us(track.since);
    const dur = this.between(track.since, end);
    const name = track.name ?? "goroutine";
    const args = failed === true ? { threw: true } : {};
    this.put({ ph: "X", name, cat: "goroutine", tid: g, ts, dur, args });
    track.ended = true;
  }

  /** All that has not ended lasts until now. */
  finish(): void {
    const { live, now, pid, process } = this.recording;
    for (const { id, name } of live) this.track(id).name ??= name;
    for (const [id, name] of [...this.tasks]) this.task("e", id, name, THREAD, now);
    for (const [g, track] of this.tracks) if (!track.ended) this.close(g, now, undefined);
    const meta = { ph: "M" as const, pid, ts: 0 };
    const out: ChromeEvent[] = [
      { ...meta, name: "process_name", tid: THREAD, args: { name: process } },
      { ...meta, name: "thread_name", tid: THREAD, args: { name: "poller, timers, collector" } },
      { ...meta, name: "thread_sort_index", tid: THREAD, args: { sort_index: -1 } },
    ];
    for (const [g, { name }] of this.tracks) {
      if (g === THREAD) continue;
      const label = `goroutine ${g}${name === undefined ? "" : ` [${name}]`}`;
      out.push({ ...meta, name: "thread_name", tid: g, args: { name: label } });
      out.push({ ...meta, name: "thread_sort_index", tid: g, args: { sort_index: g } });
    }
    for (const event of out) this.out.push(event);
    this.out.sort(inOrder);
  }
}

/** At one time: metadata, slices from the outside in, then the rest as it came (a begin, then its end). */
function inOrder(x: ChromeEvent, y: ChromeEvent): number {
  return x.ts - y.ts || rank(x) - rank(y) || (y.dur ?? 0) - (x.dur ?? 0);
}

function rank({ ph }: ChromeEvent): number {
  if (ph === "M") return 0;
  return ph === "X" ? 1 : 2;
}

/** The entries of a recording. */
export function chromeEvents(recording: Recording): ChromeEvent[] {
  // What the collector did is told afterwards.
  const events = [...recording.events].sort((x, y) => x.time - y.time);
  const first = events[0]?.time ?? recording.now;
  // So many lived when the first event happened.
  const count = (type: number): number => events.filter((event) => event.type === type).length;
  const live = recording.live.length - count(STARTED) + count(ENDED);
  const writer = new Writer(recording, first, live);
  for (const event of events) writer.write(event);
  writer.finish();
  return writer.out;
}
