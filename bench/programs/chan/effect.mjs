// Queues and fibers of effect. Each case is one program that does all of a batch.
import { Effect, Fiber, Queue } from "effect";
import { measure } from "../loop.mjs";
import { CAPACITY, checkSum } from "./load.mjs";

const produce = (queue, count) =>
  Effect.gen(function* () {
    for (let i = 0; i < count; i++) yield* Queue.offer(queue, i);
  });

await measure({
  buffered: (count) =>
    Effect.runPromise(
      Effect.gen(function* () {
        const queue = yield* Queue.bounded(CAPACITY);
        const producer = yield* Effect.forkChild(produce(queue, count));
        let sum = 0;
        for (let i = 0; i < count; i++) sum += yield* Queue.take(queue);
        yield* Fiber.await(producer);
        checkSum(sum, count);
      }),
    ),
  spawn: (count) =>
    Effect.runPromise(
      Effect.gen(function* () {
        for (let i = 0; i < count; i++)
          yield* Fiber.await(yield* Effect.forkChild(Effect.succeed(i)));
      }),
    ),
});
