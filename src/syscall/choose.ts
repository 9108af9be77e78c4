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

const LOST = `Coronet runs on its portable backend, over node:net, because its native addon could not be loaded.
Lost without the addon: most of the speed; connections that wait in the kernel until they are accepted;
"unixpacket"; the sizes of kernel buffers; calls that need file descriptors.
CORONET_POLLER=portable accepts this and says nothing; CORONET_POLLER=epoll refuses to start.`;

function wanted(): string {
  return process.env.CORONET_POLLER ?? "";
}

/** The addon's kernel; undefined when this thread does without. */
export function chosenKernel(): NativeKernel | undefined {
  const choice = wanted();
  if (choice === "portable") return undefined;
  if (choice !== "" && choice !== "epoll") {
    throw new Error(`CORONET_POLLER is "${choice}"; it may be "epoll" or "portable"`);
  }
  try {
    return nativeKernel();
  } catch (error) {
    if (choice === "epoll") throw error;
    sayOnce(error as Error);
    return undefined;
  }
}

/** What to do for what only the addon can. */
export function adviceWithoutAddon(): string {
  const how = wanted() === "portable" ? "Unset CORONET_POLLER." : howToGetIt();
  return `the portable backend cannot do this, only the native addon. ${how}`;
}

function sayOnce(reason: Error): void {
  if (getEnvironmentData(SAID) === true) return;
  setEnvironmentData(SAID, true);
  process.emitWarning(LOST, { type: "CoronetWarning", detail: reason.message });
}
