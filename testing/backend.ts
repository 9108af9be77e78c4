/** backend.ts: what tests need to know of the backend that they run on. */
import { stats } from "../src/index.ts";
import { systemClock } from "../src/internal/clock.ts";
import { NodeHost } from "../src/runtime/host.ts";
import { Runtime, runtime } from "../src/runtime/runtime.ts";
import { nativeKernel } from "../src/syscall/native.ts";
import { HAS_ABSTRACT_NAMES } from "../src/syscall/portable_socket.ts";

/** True without the native addon. */
export const onPortable = stats().poller === "portable";

/** True where TLS is over node:tls: without the addon, or because CORONET_TLS=node asks for it. */
export const onNodeTls = onPortable || process.env.CORONET_TLS === "node";

/** For node:test's `skip`: why a test can't hold on the portable backend, when it runs on that. */
export function nativeOnly(reason: string): string | false {
  return onPortable ? `not on the portable backend: ${reason}` : false;
}

/** Why an abstract name of a unix socket can't be had here; undefined when it can. */
export function lacksAbstractNames(): string | undefined {
  return onPortable && !HAS_ABSTRACT_NAMES ? "Node has abstract names from 22 on" : undefined;
}

let other: Runtime | undefined;

/** A runtime on the addon: this thread's own, or a second one beside the portable one. */
export function nativeRuntime(): Runtime {
  if (!onPortable) return runtime();
  if (other === undefined) {
    const native = nativeKernel();
    other = new Runtime(native, new NodeHost(native), systemClock);
    // Its own fds are no leak of the test that needs it first.
    other.start();
  }
  return other;
}
