/**
 * remote.ts: a thread's answers for an inspector that runs in another one, by its control socket.
 */
import { watchMeters } from "../meters/meters.ts";
import { watchGoroutines } from "../registry.ts";
import { answerRequest, type RemoteRequest, type ThreadSources } from "./api.ts";
import { Contention } from "./contention.ts";
import { keeper } from "./keeper.ts";

const sources = keeper((): ThreadSources & { stop(): void } => {
  const unwatch = [watchGoroutines(), watchMeters()];
  const contention = new Contention();
  const stop = (): void => {
    contention.stop();
    for (const each of unwatch) each();
  };
  return { contention, stop };
});

/** Answers a request of another thread's inspector. */
export async function answerRemote(request: unknown, gone: AbortSignal): Promise<unknown> {
  const { name, params = "", body } = (request ?? {}) as Partial<RemoteRequest>;
  if (typeof name !== "string") throw new Error("inspect: what is asked?");
  return await answerRequest(sources(), { name, params, body }, gone);
}
