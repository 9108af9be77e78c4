// Locks, semaphores and groups of Coronet.
import { go, Mutex, Semaphore, WaitGroup } from "../../../dist/src/index.js";
import { CONTENDERS, measure, SLOTS, SPAWNED } from "../loop.mjs";

const mu = new Mutex();
const semaphore = new Semaphore(SLOTS);

async function handOver(count) {
  for (let i = 0; i < count; i++) {
    await mu.lock();
    await null;
    mu.unlock();
  }
}

async function share(count) {
  for (let i = 0; i < count; i++) {
    await semaphore.acquire();
    await null;
    semaphore.release();
  }
}

/** So many goroutines share the work. */
async function together(fn, goroutines, count) {
  const all = Array.from({ length: goroutines }, () => go(fn, count / goroutines).join());
  await Promise.all(all);
}

async function nothing() {}

await measure({
  async lock(count) {
    for (let i = 0; i < count; i++) {
      await mu.lock();
      mu.unlock();
    }
  },
  async scoped(count) {
    for (let i = 0; i < count; i++) {
      const guard = await mu.lock();
      try {
      } finally {
        guard[Symbol.dispose]();
      }
    }
  },
  contended: (count) => together(handOver, CONTENDERS, count),
  semaphore: (count) => together(share, 4 * SLOTS, count),
  async spawn(count) {
    for (let done = 0; done < count; done += SPAWNED) {
      const wg = new WaitGroup();
      for (let i = 0; i < SPAWNED; i++) wg.go(nothing);
      await wg.wait();
    }
  },
});
