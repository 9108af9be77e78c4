/**
 * labels.ts: labels that code carries, through its awaits and into the goroutines that it starts
 * (Go: pprof.Do); dumps show them, and samples of profiles have them.
 */
import { AsyncLocalStorage } from "node:async_hooks";

/** Names that a program gives to what it does, with their values. */
export type Labels = Readonly<Record<string, string>>;

export const NONE: Labels = Object.freeze({});

/** Made by the first labels: until then nobody pays for it. */
let storage: AsyncLocalStorage<Labels> | undefined;
/** Somebody has had labels. */
let used = false;

type Told = (now: Labels) => void;

/**
 * Who is told when other labels begin to hold: of the code that runs (`change`), and of the goroutine
 * that runs (`goroutine`). Null while nobody wants to know.
 */
export const onLabels: { change: Told | null; goroutine: Told | null } = {
  change: null,
  goroutine: null,
};

/** The labels of the code that runs. */
export function currentLabels(): Labels {
  return storage?.getStore() ?? NONE;
}

function withAdded(added: Labels): Labels {
  for (const [name, value] of Object.entries(added)) {
    if (typeof value === "string") continue;
    throw new TypeError(`labels: the value of "${name}" is no string, but ${typeof value}`);
  }
  used = true;
  storage ??= new AsyncLocalStorage();
  return Object.freeze({ ...currentLabels(), ...added });
}

/**
 * Makes sure that currentLabels() is right in promise hooks that are installed from now on: on Node 20
 * labels have hooks of their own, which must come first. Returns what takes that back.
 */
export function followLabels(): () => void {
  if (storage === undefined) {
    storage = new AsyncLocalStorage();
    storage.enterWith(NONE);
  }
  return () => {
    if (used) return;
    storage?.disable();
    storage = undefined;
  };
}

/**
 * Calls `fn` with labels, in addition to those that hold already; what it awaits and the goroutines that
 * it starts have them too. Samples of profiles carry them (`go tool pprof -tags`, `-tagfocus`), and dumps
 * show them. Gives what `fn` gives.
 *
 * @example
 * import { go } from "coronet";
 * import { currentLabels, labels } from "coronet/debug";
 * await labels({ route: "/search" }, async () => {
 *   await go(async () => console.log(currentLabels())).join(); // { route: '/search' }
 * });
 */
export function labels<R>(added: Labels, fn: () => R): R {
  const inside = withAdded(added);
  const before = currentLabels();
  return (storage as AsyncLocalStorage<Labels>).run(inside, () => {
    begin(inside);
    const over = (): void => onLabels.goroutine?.(before);
    let result: R;
    try {
      result = fn();
    } catch (error) {
      over();
      throw error;
    } finally {
      onLabels.change?.(before);
    }
    if (result instanceof Promise) result.then(over, over);
    else over();
    return result;
  });
}

/**
 * Gives the code that runs, what it awaits and the goroutines that it starts from now on labels in
 * addition to those that it has (Go: pprof.SetGoroutineLabels). Prefer labels(), which takes them back.
 *
 * @example
 * import { go } from "coronet";
 * import { currentLabels, setLabels } from "coronet/debug";
 * await go(async () => {
 *   setLabels({ user: "ada" });
 *   await go(async () => console.log(currentLabels())).join(); // { user: 'ada' }
 * }).join();
 */
export function setLabels(added: Labels): void {
  const inside = withAdded(added);
  storage?.enterWith(inside);
  begin(inside);
}

function begin(now: Labels): void {
  onLabels.change?.(now);
  onLabels.goroutine?.(now);
}
