// p-limit: a function at a time, or so many.
import pLimit from "p-limit";
import { CONTENDERS, measure, SLOTS } from "../loop.mjs";

const one = pLimit(1);
const some = pLimit(SLOTS);

async function together(limit, callers, count) {
  const work = async () => {
    for (let i = 0; i < count / callers; i++) await limit(async () => await null);
  };
  await Promise.all(Array.from({ length: callers }, work));
}

await measure({
  async scoped(count) {
    for (let i = 0; i < count; i++) await one(() => {});
  },
  contended: (count) => together(one, CONTENDERS, count),
  semaphore: (count) => together(some, 4 * SLOTS, count),
});
