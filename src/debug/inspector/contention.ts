/**
 * contention.ts: channels and locks that have been used or waited for since the inspector came, with how
 * often and how long somebody waited.
 *
 * They are held weakly, and at most MOST of them: those that came first stay.
 */
import { Chan } from "../../chan/chan.ts";
import { Cond } from "../../sync/cond.ts";
import { Mutex } from "../../sync/mutex.ts";
import { RWMutex } from "../../sync/rwmutex.ts";
import { Semaphore } from "../../sync/semaphore.ts";
import { WaitGroup } from "../../sync/waitgroup.ts";
import { attach } from "../observers.ts";

const MOST = 2000;

/** How one was used. */
export interface Use {
  readonly ref: WeakRef<object>;
  /** Waits that have begun, and the ms that those which are over took. */
  waits: number;
  waited: number;
  /** Values sent, or times that it was taken. */
  uses: number;
}

const KINDS = [Chan, Mutex, RWMutex, Semaphore, WaitGroup, Cond];

function isListed(object: object): boolean {
  return KINDS.some((kind) => object instanceof kind);
}

export class Contention {
  private uses = new WeakMap<object, Use>();
  private readonly list = new Set<Use>();
  private readonly since = new WeakMap<object, { use: Use; time: number }>();
  private readonly detach: () => void;

  constructor() {
    const now = performance.now.bind(performance);
    this.detach = attach({
      parked: (waiter, _kind, object) => {
        const use = this.useOf(object);
        if (use === undefined) return;
        use.waits++;
        this.since.set(waiter, { use, time: now() });
      },
      resumed: (waiter) => {
        const wait = this.since.get(waiter);
        if (wait === undefined) return;
        this.since.delete(waiter);
        wait.use.waited += now() - wait.time;
      },
      acquired: (object, tag) => {
        if (tag === "end" || tag === "cancel" || tag === "close" || tag === "once") return;
        const use = this.useOf(object);
        if (use !== undefined) use.uses++;
      },
    });
  }

  private useOf(object: object): Use | undefined {
    const known = this.uses.get(object);
    if (known !== undefined || !isListed(object)) return known;
    if (this.list.size >= MOST) this.sweep();
    if (this.list.size >= MOST) return undefined;
    const use: Use = { ref: new WeakRef(object), waits: 0, waited: 0, uses: 0 };
    this.uses.set(object, use);
    this.list.add(use);
    return use;
  }

  private sweep(): void {
    for (const use of this.list) if (use.ref.deref() === undefined) this.list.delete(use);
  }

  /** Those that are still there. */
  *all(): Generator<[object, Use]> {
    for (const use of this.list) {
      const object = use.ref.deref();
      if (object === undefined) this.list.delete(use);
      else yield [object, use];
    }
  }

  stop(): void {
    this.detach();
    this.list.clear();
    this.uses = new WeakMap();
  }
}
