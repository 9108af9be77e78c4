// run:
// expect: the 5 longest words of 14: concurrency, programming, frequencies, goroutines, themselves
// expect: no goroutine is left
/**
 * pipeline.ts: stages connected by channels, and how all of them end.
 *
 * Each stage receives until its input is closed, and closes its own output when it is done: the end
 * travels down the pipeline by itself. In the other direction a context tells the stages before that
 * nobody wants more: a stage that waits to send stops waiting, and no goroutine is left behind.
 */
import {
  background,
  Chan,
  type Context,
  go,
  gosched,
  type ReceiveChan,
  stats,
  withCancel,
} from "coronet";

const text = `goroutines are cheap and channels carry values between them
concurrency is how programs in this language arrange themselves; programming
with word frequencies is an old example`;

/** A stage that makes values: runs `body` with what sends one, and closes the channel at its end. */
function stage<T>(
  ctx: Context,
  body: (emit: (value: T) => Promise<void>) => Promise<void>,
): ReceiveChan<T> {
  const out = new Chan<T>();
  go(async () => {
    try {
      await body((value) => out.send(value, { signal: ctx.signal }));
    } finally {
      out.close();
    }
  });
  return out;
}

const words = (ctx: Context, source: string) =>
  stage<string>(ctx, async (emit) => {
    for (const [word] of source.matchAll(/[a-z]+/g)) await emit(word);
  });

const longerThan = (ctx: Context, length: number, from: ReceiveChan<string>) =>
  stage<string>(ctx, async (emit) => {
    for await (const word of from) if (word.length > length) await emit(word);
  });

const once = (ctx: Context, from: ReceiveChan<string>) =>
  stage<string>(ctx, async (emit) => {
    const seen = new Set<string>();
    for await (const word of from) {
      if (!seen.has(word)) await emit(word);
      seen.add(word);
    }
  });

// To the end: every stage ends because the one before it has.
const [ctx, cancel] = withCancel(background());
const found: string[] = [];
for await (const word of once(ctx, longerThan(ctx, 4, words(ctx, text)))) found.push(word);
const longest = [...found].sort((a, b) => b.length - a.length).slice(0, 5);
console.log(`the 5 longest words of ${found.length}: ${longest.join(", ")}`);

// Not to the end: the first long word is enough, and cancel() ends the stages before.
for await (const word of longerThan(ctx, 8, words(ctx, text))) {
  console.log(`the first long word: ${word}`);
  break;
}
cancel();
while (stats().goroutines.live > 0) await gosched();
console.log("no goroutine is left");
