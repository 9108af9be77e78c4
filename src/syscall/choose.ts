/**
 * choose.ts: whether Coronet runs on its addon or without it.
 *
 *   CORONET_POLLER unset      the addon; where it cannot be loaded, without it, and says so once
 *   CORONET_POLLER=epoll      the addon; throws where it cannot be loaded
 *   CORONET_POLLER=portable   without it, and says nothing: it was asked for
 */
import { getEnvironmentData, setEnvironmentData } from "node:worker_threads";
import type { NativeKernel } from "./kernel.ts";
import { howToGetIt, nativeKernel } from "./native.ts";

/** Passed on to the worker threads that are started from this one. */
const SAID = "coronet: said that the native addon is missing";

const LOST = `Coronet runs on its portable backend, over node:net: the native addon was not loaded.
Everything below needs the addon and is not there: most of its speed, connections that wait in the
kernel until they are accepted, "unixpacket", kernel buffer sizes, passing of file descriptors.
CORONET_POLLER=portable accepts this and silences this warning; CORONET_POLLER=epoll refuses it.`;

/** The addon's kernel; undefined when this thread does without. */
export function chosenKernel(): NativeKernel | undefined {
  const wanted = process.env.CORONET_POLLER ?? "";
  if (wanted === "portable") return undefined;
  if (wanted !== "" && wanted !== "epoll") {
    throw new Error(`CORONET_POLLER is "${wanted}"; it may be "epoll" or "portable"`);
  }
  try {
    return nativeKernel();
  } catch (error) {
    if (wanted === "epoll") throw error;
    sayOnce(error as Error);
    return undefined;
  }
}

/** What to do for what only the addon can. */
export function adviceWithoutAddon(): string {
  const how = process.env.CORONET_POLLER === "portable" ? "Unset CORONET_POLLER." : howToGetIt();
  return `the portable backend cannot do this, only the native addon. ${how}`;
}

function sayOnce(reason: Error): void {
  if (getEnvironmentData(SAID) === true) return;
  setEnvironmentData(SAID, true);
  process.emitWarning(LOST, { type: "CoronetWarning", detail: reason.message });
}
