// run:
// expect: 664579 primes below 10000000
// expect: the loop went on
/**
 * tasks.ts: a long computation on a pool of threads, while this thread goes on serving.
 */
import { isMainThread } from "node:worker_threads";
import { go, sleep, task } from "coronet";

/** Counts the primes in a range, by a sieve over it. */
export default function primes(from: number, to: number): number {
  const composite = new Uint8Array(to - from);
  for (let p = 2; p * p < to; p++) {
    const first = Math.max(p * p, Math.ceil(from / p) * p);
    for (let n = first; n < to; n += p) composite[n - from] = 1;
  }
  let count = 0;
  for (let n = Math.max(from, 2); n < to; n++) if (composite[n - from] === 0) count++;
  return count;
}

if (isMainThread) {
  const LIMIT = 10_000_000;
  const PARTS = 8;
  let ticks = 0;
  go(async () => {
    for (;;) {
      await sleep(10);
      ticks++;
    }
  }).unref();
  const parts = Array.from({ length: PARTS }, (_, i) => {
    const range = [(LIMIT / PARTS) * i, (LIMIT / PARTS) * (i + 1)];
    return task<number>(import.meta.url, range, { timeout: 60_000 });
  });
  const total = (await Promise.all(parts)).reduce((sum, n) => sum + n, 0);
  console.log(`${total} primes below ${LIMIT}`);
  if (ticks > 0) console.log("the loop went on");
  process.exit();
}
