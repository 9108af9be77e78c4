/** say.ts: tells once, and in the first thread only, that TLS runs on node:tls where it could be faster. */
import { getEnvironmentData, setEnvironmentData } from "node:worker_threads";
import type { Runtime } from "../runtime/runtime.ts";
import { tlsDevice } from "./tls_kernel.ts";

const SAID = "coronet: said that TLS is over node:tls";

export function sayOnce(rt: Runtime): void {
  const reason = tlsDevice(rt);
  if (typeof reason !== "string" || reason === "" || getEnvironmentData(SAID) === true) return;
  setEnvironmentData(SAID, true);
  process.emitWarning(
    `Coronet speaks TLS over node:tls, because ${reason}.
Lost: most of the speed; that a stream that was cut off is told from one that has ended.
CORONET_TLS=node accepts this and says nothing.`,
    { type: "CoronetWarning" },
  );
}
