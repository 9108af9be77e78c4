/**
 * task.ts: work for the processor, on a pool of threads, so that it never holds a goroutine's thread.
 *
 * Piscina is the pool: it queues, starts threads when there is work, and ends a thread whose task is
 * given up. This file adds what Coronet's operations have in common: a signal, a timeout, errors with a
 * code, and a wait that keeps the process alive only as long as somebody waits.
 *
 * A pool belongs to the thread that calls: reactor threads have one each. It is made by the first task,
 * a thread of it ends after ten idle seconds, and none of them keeps the process alive.
 */
import { availableParallelism } from "node:os";
import { isAbsolute } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Piscina as Pool } from "piscina";
import { awaited } from "../runtime/awaited.ts";
import { CanceledError } from "../runtime/canceled.ts";
import { ENDS_GOROUTINE } from "../runtime/panic.ts";
import { runtime } from "../runtime/runtime.ts";
import type { TaskAnswer, TaskError, TaskRequest } from "./task_worker.ts";

const IDLE_MS = 10_000;
const LONGEST_TIMEOUT_MS = 0x7fff_ffff;

export interface TaskOptions {
  /** Gives the task up: one that waits leaves the queue, one that runs loses its thread. */
  signal?: AbortSignal;
  /** The longest time in ms from the call to the result, waiting in the queue included. */
  timeout?: number;
  /** Which export of the module to call; "default" by default. */
  name?: string;
}

/** A task had not answered in time; its thread was ended. */
export class TaskTimeoutError extends Error {
  override readonly name: string = "TaskTimeoutError";
  readonly code = "ERR_DEADLINE";
  readonly timeout = true;

  constructor(what: string, ms: number) {
    super(`task ${what}: no result within ${ms} ms (ERR_DEADLINE)`);
    Object.defineProperty(this, ENDS_GOROUTINE, { value: true });
  }
}

let pool: Promise<Pool> | undefined;

// Loaded with the first task: who has none needs no pool.
async function makePool(): Promise<Pool> {
  const { Piscina } = await import("piscina");
  return new Piscina({
    filename: fileURLToPath(new URL("./task_worker.js", import.meta.url)),
    minThreads: 0,
    maxThreads: availableParallelism(),
    idleTimeout: IDLE_MS,
    // Else a thread blocks between tasks, and what a module left open (a connection, a timer) stalls.
    atomics: "disabled",
  });
}

function urlOf(module: URL | string): string {
  if (module instanceof URL) return module.href;
  if (typeof module === "string") {
    if (isAbsolute(module)) return pathToFileURL(module).href;
    if (URL.canParse(module)) return module;
  }
  throw new TypeError(
    `task: expected a URL or an absolute path of a module, got ${module}; ` +
      'write new URL("./work.js", import.meta.url)',
  );
}

function checkTimeout(timeout: number | undefined): void {
  if (timeout === undefined || (timeout > 0 && timeout <= LONGEST_TIMEOUT_MS)) return;
  throw new RangeError(`task: timeout takes ms from 1 to ${LONGEST_TIMEOUT_MS}, got ${timeout}`);
}

/** The error as the task threw it: message, name, stack, code; not its class. */
function rebuilt(error: TaskError): unknown {
  if (!error.isError) return error.value;
  const made = new Error(error.message);
  made.name = error.name;
  if (error.stack !== undefined) made.stack = error.stack;
  if (error.code !== undefined) Object.assign(made, { code: error.code });
  if (error.cause !== undefined) Object.defineProperty(made, "cause", { value: error.cause });
  return made;
}

/** Of a result that can't be cloned little arrives: an empty object, or an error with a stack alone. */
function failureOf(error: unknown, what: string): unknown {
  if (error instanceof Error && !/could not be cloned/.test(String(error.stack))) return error;
  return new TypeError(`task ${what}: its arguments or its result could not be cloned`, {
    cause: error,
  });
}

/**
 * Calls a function of a module on another thread and resolves to what it returns. Arguments and result
 * are copied by structured clone, so they hold data and no functions or connections.
 *
 * Rejects with what the function threw (message, stack and code are kept), with a CanceledError when
 * the signal is aborted, and with a TaskTimeoutError after the timeout.
 *
 * @example
 * import { task } from "coronet";
 * const module = new URL(
 *   "data:text/javascript,export default (n) => { let s = 0; while (n) s += n--; return s; }",
 * );
 * console.log(await task(module, [1000])); // 500500
 */
export async function task<R = unknown>(
  module: URL | string,
  args: readonly unknown[] = [],
  options: TaskOptions = {},
): Promise<R> {
  const { signal, timeout, name = "default" } = options;
  const url = urlOf(module);
  checkTimeout(timeout);
  if (!Array.isArray(args)) {
    throw new TypeError(`task: expected an array of arguments, got ${typeof args}`);
  }
  const what = `${name} of ${url}`;
  const canceled = (): boolean => signal?.aborted === true;
  if (canceled()) throw new CanceledError(`task ${what}`, signal?.reason);
  const abort = new AbortController();
  const onAbort = (): void => abort.abort();
  signal?.addEventListener("abort", onAbort, { once: true });
  const timer = timeout === undefined ? undefined : setTimeout(onAbort, timeout);
  const rt = runtime();
  rt.hold();
  let answer: TaskAnswer;
  try {
    pool ??= makePool();
    const request: TaskRequest = { url, name, args };
    const running = (await pool).run(request, { signal: abort.signal }) as Promise<TaskAnswer>;
    answer = await awaited(running, "task", { url, name });
  } catch (error) {
    if (!abort.signal.aborted) throw failureOf(error, what);
    if (canceled()) throw new CanceledError(`task ${what}`, signal?.reason);
    throw new TaskTimeoutError(what, timeout as number);
  } finally {
    rt.release();
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
  if ("error" in answer) throw rebuilt(answer.error);
  return answer.value as R;
}
