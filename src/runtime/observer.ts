/**
 * observer.ts: slots that debugging tools fill; the runtime never depends on them.
 *
 * Each slot is null until a tool installs itself, and a caller tests for null before it calls, so
 * that nothing is paid while nobody looks. A slot must not throw, must not park and must not start
 * goroutines. Tools install themselves with attach() (src/debug/observers.ts), which lets several of
 * them share a slot; only tests assign slots themselves.
 *
 * Who: no slot says which goroutine it is called by. A tool that wants to know tracks it
 * (src/debug/who.ts) and asks currentGoroutine() inside the slot. Where somebody else acts for a
 * goroutine that waits (a sender hands a value to a parked receiver), the slot gets its waiter: the
 * object that parked() was called with, in the context of the goroutine that waits.
 *
 * Waits: parked(waiter, kind, object) ... resumed(waiter), each at most once per waiter. Waiters that
 * were parked before a tool came are resumed to it all the same: it ignores those it does not know. A
 * waiter has its promise's resolver in a property `resolve` for as long as it is parked, and whoever
 * ends the wait takes it from there at that moment (src/debug/stacks.ts puts another one in its place).
 *
 * Happens-before edges, as released and acquired say them (see SyncTag for the tags):
 *   go → start                    started(g) by the parent, running(g) by g itself
 *   end → join                    ended(g), then acquired(g, "end", waiter of the join)
 *   unlock → next lock            released(mutex, "lock"), acquired(mutex, "lock", waiter)
 *   (r)unlock → next (r)lock      the same of an RWMutex with "write" and "read": who takes "write"
 *                                 comes after both kinds of release, who takes "read" after "write"
 *   release → acquire             the same of a Semaphore with "units"
 *   done → wait                   released(group, "done"), acquired(group, "done", waiter)
 *   signal → wait                 the same of a Cond with "signal"
 *   end of once's function → each return         "once": of a Once, onceValue, SingleFlight
 *   k-th send → k-th receive      released(chan, "send", sender), acquired(chan, "receive", receiver):
 *                                 called when the value goes in and when it comes out, in this order
 *                                 and strictly first in, first out; a handover calls both
 *   k-th receive → (k+capacity)-th send          by counting the same calls; without a capacity
 *                                 sender and receiver meet, so each comes after the other
 *   close → receive that sees it  released(chan, "close"), acquired(chan, "close", receiver)
 *   the end of a context or an abort → what it ends      released(signal or scope, "cancel"), acquired(it,
 *                                 "cancel", waiter) by a wait that it ends or a look at ctx.err
 *   afterFunc → start                            released(it, "once"), acquired(it, "once", g)
 *   a deadline → the failure that it causes      released(timer of the side, "once"), acquired(it, "once"); of a
 *                                 context with "cancel"
 *   close of a conn or listener → the failure that it causes      released(it, "once"), acquired(it, "once")
 *   start or reset of a timer → what it does     armed(timer), fired(timer): a value on its channel, a
 *                                 function, the end of a context
 *   write of a SyncMap's key → who sees it       released(map, "key", , , key), acquired(map, "key", , , key);
 *                                 a key that is taken out is released as "gone", all of them as "keys"; who asks
 *                                 how many there are acquires "keys"
 *   put → the get of that object  released(pool, "item", , , object), acquired(pool, "item", , , object)
 *   a connection back to its pool → who gets it  released(link, "once"), acquired(link, "once")
 *   a pooled connection gone → who opens one     the same of a pool with "place", where it is bounded
 * Channels, atomics and tables between threads say the same for this thread's side with "shared": what one
 * goroutine of the thread released there may reach any other.
 */
import type { Goroutine } from "./goroutine.ts";

/** What was given up or taken. See the table above. */
export type SyncTag =
  | "lock"
  | "read"
  | "write"
  | "units"
  | "done"
  | "signal"
  | "once"
  | "send"
  | "receive"
  | "close"
  | "end"
  | "cancel"
  | "key"
  | "gone"
  | "keys"
  | "item"
  | "place"
  | "shared";

/** What all conns of one listener have in common. */
export interface AcceptedBy {
  readonly network: string;
  /** What it listens on. */
  readonly addr: object;
}

type Sync = (object: object, tag: SyncTag, waiter?: object, units?: number, key?: unknown) => void;

export interface Observer {
  /** A goroutine was created, by the one that runs: its parent. */
  started: ((g: Goroutine<unknown>) => void) | null;
  /** A goroutine is about to call its function, in a microtask of its own. */
  running: ((g: Goroutine<unknown>) => void) | null;
  /** A goroutine ended; `error` is what it threw, if it threw. */
  ended: ((g: Goroutine<unknown>, error: unknown) => void) | null;
  /** A goroutine is about to wait: for what (`kind`: "read", "accept", …) and on which object. */
  parked: ((waiter: object, kind: string, object: object) => void) | null;
  /**
   * That wait is over, by whoever runs: a goroutine that woke it, or nobody (the poller, a timer). It
   * is runnable from now on.
   */
  resumed: ((waiter: object) => void) | null;
  /**
   * A goroutine that could go on stands in the run queue, because the turn's budget was used up or it
   * let others go first: the one that runs (`own`), or one that it has just woken.
   */
  queued: ((waiter: object, own: boolean) => void) | null;
  /** It goes on. */
  dequeued: ((waiter: object) => void) | null;
  /**
   * Gave something up that others take: the goroutine that runs, or the one that waits as `waiter`
   * (the call comes before its resumed). `units` is how many of a Semaphore's, `key` what of a map or pool.
   */
  released: Sync | null;
  /** Took it: the goroutine that runs, or the one that waits as `waiter` and will go on with it. */
  acquired: Sync | null;
  /** A turn begins: the poller's ("poll") or the run queue's ("queue"), which wakes so many. */
  turn: ((from: "poll" | "queue", woken: number) => void) | null;
  /** An operation was complete but the turn's budget was used up: it goes on in a later turn. */
  exhausted: (() => void) | null;
  /** So many bytes went in ("read") or out ("write") on a conn; 0 bytes in: the end. */
  moved: ((conn: object, direction: "read" | "write", bytes: number) => void) | null;
  /** A conn or a listener was opened: accepted, dialled, listened, made. */
  opened: ((endpoint: object) => void) | null;
  /** A listener of this thread has taken a conn, after its opened(); `origin` is the same for all of one. */
  accepted: ((conn: object, origin: AcceptedBy) => void) | null;
  /** close() was called on it, for the first time. */
  closed: ((endpoint: object) => void) | null;
  /** A conn has gone to another thread ("out"), or come from one ("in"). */
  transferred: ((conn: object, direction: "out" | "in") => void) | null;
  /** A timer of the runtime is set, for the first time or anew. */
  armed: ((timer: object) => void) | null;
  /** A timer of the runtime fires, so many ms after its time. */
  fired: ((timer: object, late: number) => void) | null;
}

export const observer: Observer = {
  started: null,
  running: null,
  ended: null,
  parked: null,
  resumed: null,
  queued: null,
  dequeued: null,
  released: null,
  acquired: null,
  turn: null,
  exhausted: null,
  moved: null,
  opened: null,
  accepted: null,
  closed: null,
  transferred: null,
  armed: null,
  fired: null,
};
