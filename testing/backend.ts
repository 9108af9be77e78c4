/** backend.ts: what tests need to know of the backend that they run on. */
import { stats } from "../src/index.ts";

/** True without the native addon. */
export const onPortable = stats().poller === "portable";

/** For node:test's `skip`: why a test can't hold on the portable backend, when it runs on that. */
export function nativeOnly(reason: string): string | false {
  return onPortable ? `not on the portable backend: ${reason}` : false;
}
