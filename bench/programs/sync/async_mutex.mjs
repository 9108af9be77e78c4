// Locks and semaphores of async-mutex.
import { Mutex, Semaphore } from "async-mutex";
import { CONTENDERS, measure, SLOTS } from "../loop.mjs";

const mutex = new Mutex();
const semaphore = new Semaphore(SLOTS);

async function handOver(count) {
  for (let i = 0; i < count; i++) {
    await mutex.acquire();
    await null;
    mutex.release();
  }
}

async function share(count) {
  for (let i = 0; i < count; i++) {
    await semaphore.acquire();
    await null;
    semaphore.release();
  }
}

async function together(fn, callers, count) {
  await Promise.all(Array.from({ length: callers }, () => fn(count / callers)));
}

await measure({
  async lock(count) {
    for (let i = 0; i < count; i++) {
      await mutex.acquire();
      mutex.release();
    }
  },
  async scoped(count) {
    for (let i = 0; i < count; i++) await mutex.runExclusive(() => {});
  },
  contended: (count) => together(handOver, CONTENDERS, count),
  semaphore: (count) => together(share, 4 * SLOTS, count),
});
