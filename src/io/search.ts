/** search.ts: the step that takes everything up to a delimiter; for BufReader and for codecs. */
import { checkLimit, unexpectedEOF } from "./io.ts";
import { MORE, type Step } from "./steps.ts";

export interface UntilStep {
  /** Gives the delimiter as well. */
  inclusive: boolean;
  /** The most bytes before the delimiter. */
  limit: number;
  /** The error for more of them; nothing is taken then. */
  tooLong: () => Error;
}

/**
 * Takes what stands before the needle, and the needle. It remembers how far it has searched, so it
 * serves for one operation.
 */
export function untilStep(
  what: string,
  needle: Buffer,
  { inclusive, limit, tooLong }: UntilStep,
): Step<Uint8Array | null> {
  const { length } = needle;
  let searched = 0;
  return (ended, ahead) => {
    checkLimit(limit, what);
    if (length === 0) throw new RangeError(`${what}: expected a delimiter that is not empty`);
    const at = ahead.indexOf(length === 1 ? (needle[0] as number) : needle, searched);
    if (at > limit) throw tooLong();
    if (at !== -1) {
      const taken = ahead.take(inclusive ? at + length : at);
      if (!inclusive) ahead.drop(length);
      return taken;
    }
    // The end of what is here may be the beginning of a delimiter.
    searched = Math.max(0, ahead.length - length + 1);
    if (searched > limit) throw tooLong();
    if (!ended) return MORE;
    if (ahead.length === 0) return null;
    throw unexpectedEOF(what, ahead.take(ahead.length));
  };
}
