/** tasks.ts: functions that tests run as tasks; run by itself, a program that ends after its tasks. */
import { isMainThread, threadId } from "node:worker_threads";
import { task } from "../../src/index.ts";

export default function add(a: number, b: number): number {
  return a + b;
}

export function where(): number {
  return threadId;
}

export function spin(ms: number): number {
  for (const end = performance.now() + ms; performance.now() < end; );
  return ms;
}

export function forever(flag: SharedArrayBuffer): never {
  const counter = new Int32Array(flag);
  for (;;) Atomics.add(counter, 0, 1);
}

export async function later(value: unknown): Promise<unknown> {
  await new Promise((resolve) => setTimeout(resolve, 5));
  return value;
}

export function unclonable(): unknown {
  return () => {};
}

export function fails(): never {
  throw Object.assign(new RangeError("too far"), { code: "ERR_FAR", cause: new Error("root") });
}

export function throwsText(): never {
  throw "plain text";
}

export function exits(): never {
  process.exit(3);
}

if (isMainThread && process.argv[1] === import.meta.filename) {
  console.log(await task(import.meta.url, [1, 2]));
}
