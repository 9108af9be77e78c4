/**
 * counters.ts: what is known of one reactor thread, in memory that all threads see.
 *
 * The thread writes, everybody reads at any time, also while the thread is busy and after it is gone.
 *
 * Invariants
 *  - Every number has one writer: the thread itself.
 *  - `live` is raised before `taken`: who adds what is under way to what is live counts a connection
 *    twice for a moment, and never misses one.
 *  - `busySince` is 0 while the thread waits in its loop. It is set at the beginning of a turn and
 *    cleared when the goroutines that the turn woke have run.
 */
import { goroutineStats } from "../runtime/goroutine.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Progress, Taker } from "./inbox.ts";
import { takePacket } from "./packets.ts";

/** Words: touched by Atomics alone. */
const LIVE = 0;
const TAKEN = 1;
const LOCK = 2;
const WORDS = 4;

/** Numbers, as doubles. */
const ACCEPTED = 0;
const RECEIVED = 1;
const TRANSFERRED = 2;
const BYTES_READ = 3;
const BYTES_WRITTEN = 4;
const GOROUTINES = 5;
const GOROUTINES_PEAK = 6;
const TURNS = 7;
const LAST_TURN = 8;
const BUSY_SINCE = 9;
const NUMBERS = 10;

/** Numbers about one thread, as of its last turn. */
export interface ThreadStats {
  /** Its number: never given twice. */
  readonly id: number;
  /** Its place among the threads that run at once: a thread that replaces another takes it over. */
  readonly index: number;
  /** Connections whose handler runs. */
  readonly live: number;
  /** Connections placed here that the thread has not taken yet. */
  readonly underway: number;
  /** Connections it got by accepting or by placement, and by transfer; those it transferred away. */
  readonly accepted: number;
  readonly received: number;
  readonly transferred: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Goroutines now, and the largest number at once. */
  readonly goroutines: number;
  readonly goroutinesPeak: number;
  /** Turns of its scheduler; when the last began, in ms since the epoch (0: none yet). */
  readonly turns: number;
  readonly lastTurn: number;
  /** Since when one turn lasts that has not ended, in ms since the epoch; 0 when it waits. */
  readonly busySince: number;
  /** It takes no connections at the moment: placement passes it over. */
  readonly stalled: boolean;
}

export class Counters implements Progress, Taker {
  readonly memory: SharedArrayBuffer;
  private readonly words: Int32Array;
  private readonly numbers: Float64Array;

  constructor(memory = new SharedArrayBuffer(WORDS * 4 + NUMBERS * 8)) {
    this.memory = memory;
    this.words = new Int32Array(memory, 0, WORDS);
    this.numbers = new Float64Array(memory, WORDS * 4, NUMBERS);
  }

  get live(): number {
    return Atomics.load(this.words, LIVE);
  }

  get taken(): number {
    return Atomics.load(this.words, TAKEN);
  }

  get busySince(): number {
    return this.numbers[BUSY_SINCE] as number;
  }

  /** True for whoever now has the thread's inbox of placed connections to himself. */
  tryLock(): boolean {
    return Atomics.compareExchange(this.words, LOCK, 0, 1) === 0;
  }

  unlock(): void {
    Atomics.store(this.words, LOCK, 0);
  }

  /** Receives a packet of that inbox, between tryLock and unlock. */
  take(sysfd: number): number {
    return takePacket(sysfd);
  }

  refresh(): void {
    // Shared memory is.
  }

  // ---- the thread's own side

  onAccepted(): void {
    (this.numbers[ACCEPTED] as number)++;
    Atomics.add(this.words, LIVE, 1);
  }

  onReceived(): void {
    (this.numbers[RECEIVED] as number)++;
    Atomics.add(this.words, LIVE, 1);
  }

  onTransferred(): void {
    (this.numbers[TRANSFERRED] as number)++;
  }

  onEnded(): void {
    Atomics.sub(this.words, LIVE, 1);
  }

  onTaken(): void {
    Atomics.add(this.words, TAKEN, 1);
  }

  /** Writes what the thread's runtime knows at the beginning and after the end of each turn. */
  follow(runtime: Runtime): void {
    const { numbers } = this;
    let awaited = false;
    const ended = (): void => {
      awaited = false;
      numbers[BUSY_SINCE] = 0;
      this.publish(runtime);
    };
    runtime.sched.onTurn = () => {
      const now = Date.now();
      numbers[LAST_TURN] = now;
      if (awaited) return;
      awaited = true;
      numbers[BUSY_SINCE] = now;
      setImmediate(ended);
    };
  }

  publish(runtime: Runtime): void {
    const { numbers } = this;
    const { live, peak } = goroutineStats();
    numbers[BYTES_READ] = runtime.bytesRead;
    numbers[BYTES_WRITTEN] = runtime.bytesWritten;
    numbers[GOROUTINES] = live;
    numbers[GOROUTINES_PEAK] = peak;
    numbers[TURNS] = runtime.sched.turns;
  }

  /** A copy, with what only the reader knows. */
  read(of: Pick<ThreadStats, "id" | "index" | "underway" | "stalled">): ThreadStats {
    const n = (index: number): number => this.numbers[index] as number;
    return {
      ...of,
      live: this.live,
      accepted: n(ACCEPTED),
      received: n(RECEIVED),
      transferred: n(TRANSFERRED),
      bytesRead: n(BYTES_READ),
      bytesWritten: n(BYTES_WRITTEN),
      goroutines: n(GOROUTINES),
      goroutinesPeak: n(GOROUTINES_PEAK),
      turns: n(TURNS),
      lastTurn: n(LAST_TURN),
      busySince: n(BUSY_SINCE),
    };
  }
}
