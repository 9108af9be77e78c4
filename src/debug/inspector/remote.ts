/**
 * remote.ts: a thread's tables for an inspector that runs in another one, by its control socket.
 *
 * What they stand on is kept from the first question until none has come for a minute.
 */
import { watchGoroutines } from "../registry.ts";
import { answerTable, type RemoteRequest, type TableSources } from "./api.ts";
import { Contention } from "./contention.ts";
import { Traffic } from "./traffic.ts";

const KEPT_MS = 60_000;

let kept: (TableSources & { stop: () => void }) | undefined;
let timer: NodeJS.Timeout | undefined;

function begin(): NonNullable<typeof kept> {
  const unwatch = watchGoroutines();
  const traffic = new Traffic();
  const contention = new Contention();
  const stop = (): void => {
    traffic.stop();
    contention.stop();
    unwatch();
  };
  return { traffic, contention, stop };
}

function end(): void {
  kept?.stop();
  kept = undefined;
}

/** Answers a request of another thread's inspector. */
export async function answerRemote(request: unknown): Promise<unknown> {
  const { name, params = "", body } = (request ?? {}) as Partial<RemoteRequest>;
  if (typeof name !== "string") throw new Error("inspect: which table?");
  kept ??= begin();
  clearTimeout(timer);
  timer = setTimeout(end, KEPT_MS);
  timer.unref();
  return await answerTable(kept, { name, params, body });
}
