/**
 * recorder.ts: the flight recorder: the last events of this thread, in a ring of fixed size.
 *
 * An event is a time and four integers in preallocated arrays; what is old is written over. Names are
 * integers too, by a table; texts of the program's own stand in an array beside the ring, which has a
 * place for each event. So recording allocates nothing, and memory does not grow.
 */

/** What happened; `g` is the goroutine that runs, 0 when it is none. */
export const STARTED = 1; // g started goroutine a; b is its name
export const RAN = 2; // g begins
export const ENDED = 3; // g ended; a is 1 when it threw
export const PARKED = 4; // g waits; a is the kind's name, b the wait's number
export const RESUMED = 5; // g (0: the poller, a timer) ends wait b of goroutine a; see also WOKEN_KIND
export const QUEUED = 6; // g stands in the run queue
export const MOVED = 7; // g: a bytes; b is 0 for read, 1 for written
export const TURN = 8; // a turn that wakes a goroutines; b is 0 for the poller's, 1 for the run queue's
export const FIRED = 9; // a timer, a µs late
export const EXHAUSTED = 10; // g used the turn's budget up
export const OPENED = 11; // g: a connection or listener; a is its class's name
export const CLOSED = 12; // the same
export const COLLECTED = 13; // the collector ran: a µs; b is V8's kind
export const TASK_BEGIN = 14; // g: task a begins; its name is the text
export const TASK_END = 15;
export const REGION_BEGIN = 16; // g: region b of task a (0: none) begins; its name is the text
export const REGION_END = 17;
export const LOGGED = 18; // g: a line, of task a
export const TRANSFERRED = 19; // g: a connection; b is 0 for one that leaves, 1 for one that has come

const FIELDS = 4;

/** One event, read out of the ring. */
export interface TraceEvent {
  /** By performance.now(), in ms. */
  time: number;
  type: number;
  g: number;
  a: number;
  b: number;
  text: string | undefined;
}

export class Recorder {
  readonly size: number;
  private readonly times: Float64Array;
  private readonly fields: Int32Array;
  private readonly texts: (string | undefined)[];
  /** Events so far. */
  private count = 0;

  constructor(size: number) {
    this.size = size;
    this.times = new Float64Array(size);
    this.fields = new Int32Array(size * FIELDS);
    this.texts = new Array(size).fill(undefined);
  }

  /** Events that were recorded and those that were written over. */
  get recorded(): number {
    return this.count;
  }

  get lost(): number {
    return Math.max(0, this.count - this.size);
  }

  add(time: number, type: number, g: number, a: number, b: number): void {
    const at = this.count++ % this.size;
    this.times[at] = time;
    const { fields } = this;
    const first = at * FIELDS;
    fields[first] = type;
    fields[first + 1] = g;
    fields[first + 2] = a;
    fields[first + 3] = b;
    if (this.texts[at] !== undefined) this.texts[at] = undefined;
  }

  addText(time: number, type: number, g: number, a: number, b: number, text: string): void {
    this.add(time, type, g, a, b);
    this.texts[(this.count - 1) % this.size] = text;
  }

  /** The events that are there, oldest first. */
  *events(): Generator<TraceEvent> {
    for (let i = this.lost; i < this.count; i++) {
      const at = i % this.size;
      const first = at * FIELDS;
      yield {
        time: this.times[at] as number,
        type: this.fields[first] as number,
        g: this.fields[first + 1] as number,
        a: this.fields[first + 2] as number,
        b: this.fields[first + 3] as number,
        text: this.texts[at],
      };
    }
  }
}

/** Different names that are kept apart; the others are one. */
const MOST_NAMES = 4096;

/** Names as integers. */
export class Names {
  private readonly numbers = new Map<string, number>();
  private readonly names: string[] = ["(others)"];

  of(name: string): number {
    const known = this.numbers.get(name);
    if (known !== undefined) return known;
    if (this.names.length >= MOST_NAMES) return 0;
    const number = this.names.push(name) - 1;
    this.numbers.set(name, number);
    return number;
  }

  at(number: number): string {
    return this.names[number] ?? "(others)";
  }
}
