/**
 * top_target.ts: whom `coronet top` asks: the threads of a process by their control sockets, or an inspector,
 * which knows its other threads and its worker processes.
 */
import { askControl, ControlError, controlPaths } from "../debug/control.ts";
import type { AllTops, Order, Top, TopOptions } from "../debug/top.ts";
import { Failure } from "./arguments.ts";
import type { TopModel } from "./view/top_frame.ts";

const ROWS = 200;
const PATIENCE_MS = 5000;

/** Asks once; fails when nobody answers. */
type Ask = (options: Required<TopOptions>) => Promise<AllTops>;

/** Asks all threads of a process, again and again. */
export class Target {
  private readonly ask: Ask;
  order: Order;
  filter: string;
  private before = new Map<string, Top>();

  constructor(target: string, order: Order, filter: string) {
    this.ask = inspectorOf(target) ?? ((options) => askSockets(target, options));
    this.order = order;
    this.filter = filter;
  }

  /** What they say now. Fails when nobody can be asked, or nobody answers. */
  async look(): Promise<TopModel> {
    const { order, filter } = this;
    const { tops, silent } = await this.ask({ rows: ROWS, order, filter });
    const own = (tops[0] as Top).meters.pid;
    const threads = [...tops]
      .sort(({ meters: a }, { meters: b }) => place(a, own) - place(b, own) || a.thread - b.thread)
      .map((now) => ({ now, before: this.before.get(keyOf(now)) }));
    this.before = new Map(tops.map((top) => [keyOf(top), top]));
    return { pid: own, threads, silent, order, filter, typing: false, paused: false, keys: false };
  }
}

/** The process that was asked comes before its workers. */
function place({ pid }: { pid: number }, own: number): number {
  return pid === own ? 0 : pid;
}

function keyOf({ meters: { pid, thread } }: Top): string {
  return `${pid}.${thread}`;
}

function failureOf(error: unknown): unknown {
  return error instanceof ControlError ? new Failure(error.message) : error;
}

async function askSockets(target: string, options: TopOptions): Promise<AllTops> {
  try {
    const asked = controlPaths(target).map((path) => askControl(path, "top", options));
    const answers = await Promise.allSettled(asked);
    const tops = answers.flatMap((each) =>
      each.status === "fulfilled" ? [each.value as Top] : [],
    );
    if (tops.length > 0) return { tops, silent: answers.length - tops.length };
    throw (answers[0] as PromiseRejectedResult).reason;
  } catch (error) {
    throw failureOf(error);
  }
}

/** "http://HOST:PORT/#token=…", the same without "http://", "HOST:PORT", ":PORT". */
const INSPECTOR =
  /^(?:http:\/\/)?(\[[\da-fA-F:.]+\]|[^\s/:#@]*):(\d{1,5})\/?(?:#token=([\w.~-]+))?$/;

/** Asks the inspector of an address; undefined of what is none. */
function inspectorOf(target: string): Ask | undefined {
  const [, host, port, own] = INSPECTOR.exec(target) ?? [];
  if (port === undefined) {
    if (/^https?:/.test(target)) {
      throw new Failure(`an inspector's address is http://HOST:PORT/#token=…, not "${target}"`);
    }
    return undefined;
  }
  const { CORONET_INSPECT_TOKEN } = process.env;
  const token = own ?? CORONET_INSPECT_TOKEN;
  const place = `${host || "127.0.0.1"}:${port}`;
  if (token === undefined) {
    throw new Failure(
      `the inspector at ${place} wants its token: give the address as it printed it, with #token=…, ` +
        "or set CORONET_INSPECT_TOKEN",
    );
  }
  return (options) => askInspector(place, token, options);
}

async function askInspector(
  place: string,
  token: string,
  { rows, order, filter }: Required<TopOptions>,
): Promise<AllTops> {
  const query = new URLSearchParams({ rows: String(rows), order, filter });
  let status: number;
  let text: string;
  try {
    const response = await fetch(`http://${place}/api/top?${query}`, {
      headers: { authorization: `Bearer ${token}` },
      redirect: "error",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    status = response.status;
    text = await response.text();
  } catch (error) {
    throw new Failure(`nobody can be asked at ${place}: ${reasonOf(error as Error)}`);
  }
  if (status === 401) throw new Failure(`the inspector at ${place} refuses that token`);
  const answer = parsed(text) as Partial<AllTops & { error: string }>;
  if (Array.isArray(answer.tops)) return answer as AllTops;
  throw new Failure(`${place}: ${answer.error ?? `no inspector answers there (${status})`}`);
}

/** What fetch() hides behind "fetch failed". */
function reasonOf(error: Error): string {
  if (error.name === "TimeoutError") {
    return `no answer within ${PATIENCE_MS / 1000} s: its thread is busy, or stopped`;
  }
  const cause = error.cause as { code?: string; message?: string } | undefined;
  return cause?.code ?? (cause?.message || error.message);
}

function parsed(text: string): object {
  try {
    return Object(JSON.parse(text)) as object;
  } catch {
    return {};
  }
}
