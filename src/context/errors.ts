/**
 * errors.ts: why a context ended.
 */
import { CanceledError } from "../runtime/canceled.ts";
import { ENDS_GOROUTINE } from "../runtime/panic.ts";

/**
 * A context's deadline has passed. Like a canceled wait, it ends its goroutine without a panic when
 * nobody catches it.
 */
export class DeadlineExceededError extends Error {
  override readonly name: string = "DeadlineExceededError";
  readonly code = "ERR_DEADLINE";
  /** As on a network error whose deadline has passed. */
  readonly timeout = true;

  constructor(reason: unknown) {
    super(
      "context: deadline exceeded (ERR_DEADLINE)",
      reason === undefined ? undefined : { cause: reason },
    );
    Object.defineProperty(this, ENDS_GOROUTINE, { value: true });
  }
}

/** Why a context ended: `code` is ERR_CANCELED or ERR_DEADLINE. */
export type ContextError = CanceledError | DeadlineExceededError;

/** What ended a context: its cancel function, the end of its owner's scope, or its deadline. */
export type EndedBy = "cancel" | "dispose" | "deadline";

/**
 * The end of a context. Descendants that end with it share it, so that the first cause is everybody's.
 * The error is made when somebody asks: most contexts end unseen, and an error takes a stack. Where the
 * stack would say nothing, being a timer's or that of a finished scope, none is taken.
 */
export class End {
  /** When, in the clock's milliseconds; -Infinity when that is unknown. */
  readonly at: number;
  private readonly by: EndedBy;
  private readonly reason: unknown;
  private error: ContextError | undefined;

  constructor(at: number, by: EndedBy, reason: unknown) {
    this.at = at;
    this.by = by;
    this.reason = reason;
    this.error = undefined;
  }

  get err(): ContextError {
    this.error ??= this.by === "cancel" ? this.makeError() : withoutStack(() => this.makeError());
    return this.error;
  }

  /** The reason that was given, or the error. */
  get cause(): unknown {
    return this.reason ?? this.err;
  }

  private makeError(): ContextError {
    if (this.by === "deadline") return new DeadlineExceededError(this.reason);
    return new CanceledError("context", this.reason);
  }
}

function withoutStack<T>(make: () => T): T {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return make();
  } finally {
    Error.stackTraceLimit = limit;
  }
}
