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

  constructor(recording: Recording, first: number, live: number) {
    this.recording = recording;
    this.first = first;
    this.live = live;
  }

  // ---- entries

  private us(time: number): number {
    return Math.round(time * 1e6) / 1e3;
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

  /** A slice has ended; one that is not the innermost gets a track of its own. */
  private end(g: number, key: string, time: number, args?: Record<string, unknown>): void {
    const { open } = this.track(g);
    const at = open.findLastIndex((slice) => slice.key === key);
    if (at === -1) return;
    const [slice] = open.splice(at, 1) as [Open];
    const details = { ...slice.args, ...args };
    const base = { name: slice.name, cat: slice.cat, tid: g };
    const ts = this.us(slice.since);
    if (at === open.length) {
      this.put({ ph: "X", ...base, ts, dur: this.us(time - slice.since), args: details });
      return;
    }
    const id = `${g}.${++this.separate}`;
    this.put({ ph: "b", ...base, ts, id, args: details });
    this.put({ ph: "e", ...base, ts: this.us(time), id });
  }

  private arrow(from: number, to: number, time: number): void {
    const id = ++this.arrows;
    const base = { name: "wake", cat: "wake", ts: this.us(time), id };
    this.track(from);
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
        if (g !== 0) this.arrow(g, a, time);
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
      case RESUMED:
        this.end(a, `w${b}`, time);
        if (g !== 0 && g !== a) this.arrow(g, a, time);
        break;
      case TURN:
        this.instant(b === 0 ? "poll" : "run queue", "turn", THREAD, time, { woken: a });
        this.counter(b === 0 ? "poller batch" : "run queue batch", time, a);
        break;
      case COLLECTED: {
        const name = `GC ${GC_KINDS.get(b) ?? ""}`.trim();
        const ts = this.us(time);
        this.put({ ph: "X", name, cat: "gc", tid: THREAD, ts, dur: a });
        break;
      }
      default:
        this.writeDetail({ time, type, g, a, b, text });
    }
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
    while (track.open.length > 0) this.end(g, (track.open.at(-1) as Open).key, time);
    const ts = this.us(track.since);
    const dur = this.us(time - track.since);
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
  }
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
