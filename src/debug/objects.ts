/**
 * objects.ts: what things are called in reports: "chan #1 (2 of 8 inside)", "tcp a->b".
 *
 * Numbers are given when a thing is first named, each kind from 1.
 */
import { Chan } from "../chan/chan.ts";
import { Listener } from "../net/listener.ts";
import { Pool } from "../net/pool.ts";
import { Goroutine } from "../runtime/goroutine.ts";
import { Timer } from "../runtime/timers.ts";
import { SharedChan } from "../shared/chan.ts";
import { Cond } from "../sync/cond.ts";
import { ErrGroup } from "../sync/errgroup.ts";
import { Mutex } from "../sync/mutex.ts";
import { RWMutex } from "../sync/rwmutex.ts";
import { Semaphore } from "../sync/semaphore.ts";
import { WaitGroup } from "../sync/waitgroup.ts";
import { holdsOf } from "./holders.ts";

const numbers = new WeakMap<object, number>();
const last = new Map<string, number>();

/** "chan #1" */
function numbered(kind: string, object: object): string {
  let number = numbers.get(object);
  if (number === undefined) {
    number = (last.get(kind) ?? 0) + 1;
    last.set(kind, number);
    numbers.set(object, number);
  }
  return `${kind} #${number}`;
}

/** "goroutine 3 [worker]" */
export function goroutineName(g: { readonly id: number; readonly name: string }): string {
  return `goroutine ${g.id} [${g.name}]`;
}

/** The cases of a select that is parked; undefined for anything else. */
export function casesOf(object: object): Record<string, unknown> | undefined {
  return "nodes" in object && "cases" in object
    ? (object.cases as Record<string, unknown>)
    : undefined;
}

/** What a case of a select waits for: the channel, and whether it sends. */
export function chanOfCase(entry: unknown): { chan: object | undefined; sends: boolean } {
  const { chan, done } = (entry ?? {}) as Record<string, object | undefined>;
  return { chan: chan ?? done, sends: typeof entry === "object" && "value" in (entry as object) };
}

/** The name alone. */
export function nameOf(object: object): string {
  if (object instanceof Goroutine) return goroutineName(object);
  if (object instanceof Chan) {
    return object.constructor === Chan ? numbered("chan", object) : "nil chan";
  }
  if (object instanceof SharedChan) return numbered("shared chan", object);
  if (object instanceof Mutex) return numbered("mutex", object);
  if (object instanceof RWMutex) return numbered("rwmutex", object);
  if (object instanceof Semaphore) return numbered("semaphore", object);
  if (object instanceof WaitGroup) return numbered("waitgroup", object);
  if (object instanceof ErrGroup) return numbered("errgroup", object);
  if (object instanceof Cond) return numbered("cond", object);
  return endpointName(object) ?? "";
}

/** "tcp 127.0.0.1:4711->127.0.0.1:80", "tcp 127.0.0.1:80"; undefined when it is none. */
export function endpointName(object: object): string | undefined {
  if (object instanceof Listener) return `${object.network} ${object.addr}`;
  const { network, localAddr, remoteAddr } = object as Record<string, unknown>;
  if (typeof network !== "string" || localAddr === undefined) return undefined;
  const to = remoteAddr === undefined ? "" : `->${remoteAddr}`;
  return `${network} ${localAddr}${to}`;
}

/** The name and what there is to know of its state. */
export function describe(object: object): string {
  const state = stateOf(object);
  const name = nameOf(object);
  return name === "" || state === "" ? name + state : `${name} (${state})`;
}

function stateOf(object: object): string {
  if (object instanceof Chan || object instanceof SharedChan) {
    return object.capacity > 0 ? `${object.length} of ${object.capacity} inside` : "";
  }
  if (object instanceof Semaphore)
    return `${object.taken} of ${object.capacity} taken${held(object)}`;
  if (object instanceof Mutex || object instanceof RWMutex) return held(object).slice(1).trim();
  if (object instanceof WaitGroup) return `${object.count} left`;
  if (object instanceof Cond) return `of ${nameOf(object.mutex)}`;
  if (object instanceof Timer) return dueIn(object);
  const cases = casesOf(object);
  if (cases !== undefined) return Object.entries(cases).map(caseText).join(", ");
  const { host, name, url } = object as Record<string, unknown>;
  if (typeof host === "string") return host;
  if (typeof url === "string") return `${name} of ${url}`;
  return object instanceof Pool ? `pool ${JSON.stringify(name)}` : "";
}

/** ", held by goroutine 3 [worker]" */
function held(object: object): string {
  const who = holdsOf(object).map(({ goroutine, tag }) => {
    const name = goroutine === undefined ? "nobody known" : goroutineName(goroutine);
    return tag === "read" ? `read by ${name}` : `held by ${name}`;
  });
  return who.length === 0 ? "" : `, ${[...new Set(who)].slice(0, 4).join(", ")}`;
}

function dueIn(timer: Timer): string {
  return timer.when === Infinity ? "for ever" : "";
}

function caseText([key, entry]: [string, unknown]): string {
  const absent = typeof entry === "object" && entry !== null && "chan" in entry && !entry.chan;
  if (entry === undefined || absent) return `${key}: absent`;
  const { chan, sends } = chanOfCase(entry);
  if (chan !== undefined) return `${key}: ${sends ? "send on" : "receive from"} ${nameOf(chan)}`;
  const { ms } = entry as { ms?: number };
  return ms === undefined ? key : `${key}: after ${ms} ms`;
}
