// Async functions and Promise.all: what there is without a library.
import { measure, SPAWNED } from "../loop.mjs";

async function nothing() {}

await measure({
  async spawn(count) {
    for (let done = 0; done < count; done += SPAWNED) {
      await Promise.all(Array.from({ length: SPAWNED }, () => nothing()));
    }
  },
});
