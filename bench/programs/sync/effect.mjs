// Semaphores and fibers of effect. Each case is one program that does all of a batch.
import { Effect, Fiber, Semaphore } from "effect";
import { CONTENDERS, measure, SLOTS, SPAWNED } from "../loop.mjs";

const one = Semaphore.makeUnsafe(1);
const some = Semaphore.makeUnsafe(SLOTS);

const repeat = (count, effect) =>
  Effect.gen(function* () {
    for (let i = 0; i < count; i++) yield* effect;
  });

const together = (effect, fibers, count) =>
  Effect.all(
    Array.from({ length: fibers }, () => repeat(count / fibers, effect)),
    { concurrency: "unbounded", discard: true },
  );

const handOver = one.withPermits(1)(Effect.yieldNow);
const share = some.withPermits(1)(Effect.yieldNow);
const lock = Effect.andThen(one.take(1), () => one.release(1));

await measure({
  lock: (count) => Effect.runPromise(repeat(count, lock)),
  scoped: (count) => Effect.runPromise(repeat(count, one.withPermits(1)(Effect.void))),
  contended: (count) => Effect.runPromise(together(handOver, CONTENDERS, count)),
  semaphore: (count) => Effect.runPromise(together(share, 4 * SLOTS, count)),
  spawn: (count) =>
    Effect.runPromise(
      Effect.gen(function* () {
        for (let done = 0; done < count; done += SPAWNED) {
          const fibers = [];
          for (let i = 0; i < SPAWNED; i++) fibers.push(yield* Effect.forkChild(Effect.void));
          yield* Fiber.awaitAll(fibers);
        }
      }),
    ),
});
