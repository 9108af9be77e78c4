/**
 * select.ts: waiting for the first of several things.
 *
 * First every case is asked whether it is ready; among those that are, one is drawn, each with the
 * same probability, and happens. If none is, a node of each case is queued where it waits for its
 * event, and the goroutine parks. The first event takes every other node out of its queue in the same
 * step, before anything else can run.
 *
 * Invariants
 *  - A select settles once, with the outcome of one case.
 *  - A select that has settled has no node in any queue, no timer and no listener.
 *  - No user code runs between the first question and the last node: JavaScript evaluated the cases,
 *    in source order, before the select was called.
 */
import { type Cancelable, CanceledError, SignalLink } from "../runtime/canceled.ts";
import { observer } from "../runtime/observer.ts";
import { failParked, parked, type Resolve, resolver } from "../runtime/park.ts";
import { runtime } from "../runtime/runtime.ts";
import {
  type AfterCase,
  type Case,
  caseOf,
  type DoneSource,
  type Node,
  type Parked,
  type RecvCase,
  type SendCase,
} from "./cases.ts";
import type { WaitOptions } from "./waiter.ts";

/** What a select may wait for. An absent (`undefined`) case never happens. */
export type SelectCase =
  | RecvCase<unknown>
  | SendCase
  | AfterCase
  | AbortSignal
  | DoneSource
  | undefined;

/** The cases of a select by their names. */
export type SelectCases = Readonly<Record<string, SelectCase>>;

type Outcome<K, C> = C extends undefined
  ? never
  : C extends RecvCase<infer T>
    ? { case: K; value: T; ok: true } | { case: K; value: undefined; ok: false }
    : C extends SendCase | AfterCase
      ? { case: K }
      : { case: K; reason: unknown };

/** What a select gives: one of its cases, told apart by `case`; a receive is told apart by `ok`. */
export type Selected<C extends SelectCases> = {
  [K in keyof C & string]: Outcome<K, C[K]>;
}[keyof C & string];

/**
 * Waits until one of the cases can happen, makes it happen and says which. Among several that can,
 * one is chosen at random. Rejects when it chose a send on a closed channel (ChanError), or when
 * `signal` is aborted (CanceledError).
 *
 * @example
 * import { after, Chan, go, recv, select, send } from "coronet";
 * const jobs = new Chan<string>();
 * const out = new Chan<number>(1);
 * go(() => jobs.send("sweep"));
 * const got = await select({ job: recv(jobs), late: after(1000) });
 * if (got.case === "job" && got.ok) console.log(got.value.toUpperCase()); // SWEEP
 * console.log(await select({ out: send(out, 1), stop: new AbortController().signal })); // { case: 'out' }
 */
export function select<const C extends SelectCases>(
  cases: C,
  options?: WaitOptions,
): Promise<Selected<C>> {
  const signal = options?.signal;
  if (signal?.aborted === true) {
    return Promise.reject(new CanceledError("select", signal.reason));
  }
  try {
    const outcome = trySelect(cases);
    if (outcome !== undefined) return runtime().sched.completeLight(outcome);
    return park(cases, signal) as Promise<Selected<C>>;
  } catch (error) {
    return Promise.reject(error);
  }
}

/**
 * As select, without waiting: `undefined` when no case is ready (in Go, the `default` case). An
 * after() is never ready.
 *
 * @example
 * import { Chan, recv, trySelect } from "coronet";
 * const jobs = new Chan<string>(1);
 * console.log(trySelect({ job: recv(jobs) })); // undefined
 * jobs.trySend("sweep");
 * console.log(trySelect({ job: recv(jobs) })); // { case: 'job', value: 'sweep', ok: true }
 */
export function trySelect<const C extends SelectCases>(cases: C): Selected<C> | undefined {
  let ready = 0;
  let chosen: Case | undefined;
  let name = "";
  for (const key in cases) {
    const entry = caseOf(cases[key], key);
    if (entry === undefined || !entry.ready) continue;
    ready++;
    // The n-th that is ready takes the place of the one before it with probability 1/n: in the end
    // each stands there with the same probability.
    if (ready > 1 && runtime().random.below(ready) !== 0) continue;
    chosen = entry;
    name = key;
  }
  if (chosen === undefined) return undefined;
  return (chosen.perform(name) ?? trySelect(without(cases, name))) as Selected<C> | undefined;
}

/** The other cases, when another thread was faster in this one. */
function without(cases: SelectCases, name: string): SelectCases {
  const { [name]: _, ...others } = cases;
  return others;
}

function park(cases: SelectCases, signal: AbortSignal | undefined): Promise<object> {
  const promise = parked<object>();
  const select = new ParkedSelect(resolver(), cases);
  for (const key in cases) select.add(caseOf(cases[key], key)?.park(select, key));
  const kind = select.nodes === undefined ? "select (no cases)" : "select";
  if (signal !== undefined) select.add(new CancelNode(signal, select));
  if (observer.parked !== null) observer.parked(select, kind, select);
  return promise;
}

class ParkedSelect implements Parked {
  nodes: Node | undefined;
  /** For reports. */
  readonly cases: SelectCases;
  private readonly resolve: Resolve<object>;

  constructor(resolve: Resolve<object>, cases: SelectCases) {
    this.nodes = undefined;
    this.cases = cases;
    this.resolve = resolve;
  }

  add(node: Node | undefined): void {
    if (node === undefined) return;
    node.next = this.nodes;
    this.nodes = node;
  }

  finish(outcome: object): void {
    this.leave();
    runtime().sched.wake(this.resolve, outcome);
  }

  fail(makeError: () => Error): void {
    this.leave();
    failParked(this.resolve, makeError);
  }

  private leave(): void {
    for (let node = this.nodes; node !== undefined; node = node.next) node.leave();
    this.nodes = undefined;
    if (observer.resumed !== null) observer.resumed(this);
  }
}

/** Ends a select by the signal among its options. */
class CancelNode implements Node, Cancelable {
  next: Node | undefined;
  private readonly select: Parked;
  private readonly link: SignalLink;

  constructor(signal: AbortSignal, select: Parked) {
    this.next = undefined;
    this.select = select;
    this.link = new SignalLink(signal, this);
  }

  get waiter(): object {
    return this.select;
  }

  onAbort(): void {
    this.select.fail(() => new CanceledError("select", this.link.reason));
  }

  leave(): void {
    this.link.remove();
  }
}
