/**
 * async_context.ts: the context of AsyncLocalStorage where promises do not carry it by themselves.
 *
 * An await keeps the context of who awaits, whoever wakes it, so goroutines need nothing of this. A function
 * that is left with somebody else to be called later does: it would be called in the caller's context.
 */
import { AsyncResource } from "node:async_hooks";

// Nobody listens for the end of these; watching for it would cost a finalizer each.
const OPTIONS = { requireManualDestroy: true };

/** Keeps the context of now. About 30 ns. */
export function contextOfNow(): AsyncResource {
  return new AsyncResource("coronet", OPTIONS);
}
