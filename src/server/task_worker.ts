/** task_worker.ts: what the pool's threads run: imports the task's module and calls its function. */

export interface TaskRequest {
  url: string;
  name: string;
  args: readonly unknown[];
}

/** What a task threw, as it can be cloned: structured clone drops codes and names of errors. */
export type TaskError =
  | { isError: false; value: unknown }
  | {
      isError: true;
      name: string;
      message: string;
      stack: string | undefined;
      code: unknown;
      cause: unknown;
    };

export type TaskAnswer = { value: unknown } | { error: TaskError };

function cloneable(value: unknown): unknown {
  try {
    return structuredClone(value);
  } catch {
    return String(value);
  }
}

function described(error: unknown): TaskError {
  if (!(error instanceof Error)) return { isError: false, value: cloneable(error) };
  const { name, message, stack, cause, code } = error as Error & { code?: unknown };
  return {
    isError: true,
    name,
    message,
    stack,
    code: cloneable(code),
    cause: cause === undefined ? undefined : cloneable(cause),
  };
}

export default async function run({ url, name, args }: TaskRequest): Promise<TaskAnswer> {
  try {
    const module = (await import(url)) as Record<string, unknown>;
    const fn = module[name];
    if (typeof fn !== "function") {
      throw new TypeError(`task: ${url} exports no function "${name}"`);
    }
    return { value: await fn(...args) };
  } catch (error) {
    return { error: described(error) };
  }
}
