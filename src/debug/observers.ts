/**
 * observers.ts: several tools in the observer's slots.
 *
 * A slot that one tool uses holds that tool's function itself; one that several use holds a function
 * that calls theirs, in the order in which they were attached.
 */
import { type Observer, observer } from "../runtime/observer.ts";

/** What a tool wants to hear: the slots that it fills. */
export type Tool = { readonly [K in keyof Observer]?: NonNullable<Observer[K]> };

type Slot = (...args: unknown[]) => void;

const tools: Tool[] = [];
const slots = observer as unknown as Record<string, Slot | null>;
/** What stood in a slot before the first tool came: a test's own function. */
const found = new Map<string, Slot | null>();

function fill(name: string): void {
  const calls = tools.flatMap((tool) => (tool as Record<string, Slot | undefined>)[name] ?? []);
  if (calls.length === 0) {
    slots[name] = found.get(name) ?? null;
    found.delete(name);
    return;
  }
  if (!found.has(name)) found.set(name, slots[name] ?? null);
  const before = found.get(name);
  slots[name] = together(before == null ? calls : [before, ...calls]);
}

/** One function for all of them. */
function together(calls: readonly Slot[]): Slot {
  const [first, second] = calls as [Slot, Slot];
  if (calls.length === 1) return first;
  if (calls.length === 2) {
    return (a, b, c, d, e) => {
      first(a, b, c, d, e);
      second(a, b, c, d, e);
    };
  }
  return (a, b, c, d, e) => {
    for (const call of calls) call(a, b, c, d, e);
  };
}

/** Puts a tool into the slots that it fills. Returns what takes it out again, once. */
export function attach(tool: Tool): () => void {
  const names = Object.keys(tool);
  tools.push(tool);
  for (const name of names) fill(name);
  return () => {
    const at = tools.indexOf(tool);
    if (at === -1) return;
    tools.splice(at, 1);
    for (const name of names) fill(name);
  };
}
