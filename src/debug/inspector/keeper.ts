/** keeper.ts: what others' questions need is kept from the first of them until none has come for a minute. */

const KEPT_MS = 60_000;

/** Gives what `begin` makes, as long as it is asked for; its stop() is called at the end. */
export function keeper<T extends { stop(): void }>(begin: () => T): () => T {
  let kept: T | undefined;
  let timer: NodeJS.Timeout | undefined;
  const end = (): void => {
    kept?.stop();
    kept = undefined;
  };
  return () => {
    kept ??= begin();
    clearTimeout(timer);
    timer = setTimeout(end, KEPT_MS);
    timer.unref();
    return kept;
  };
}
