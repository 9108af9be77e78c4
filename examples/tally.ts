// run:
// expect: 1000 numbers, 168 primes, by 3 threads
/**
 * tally.ts: threads that take work from one channel, count in one table and report on another channel.
 *
 *   node dist/examples/tally.js
 */
import { isMainThread, Worker, workerData } from "node:worker_threads";
import {
  type AtomicHandle,
  AtomicInt32,
  SharedChan,
  type SharedChanHandle,
  Table,
  type TableHandle,
} from "coronet";

const THREADS = 3;
const columns = { tested: "int32", found: "int32" } as const;

interface Shared {
  numbers: SharedChanHandle<number>;
  primes: SharedChanHandle<number>;
  tally: TableHandle<typeof columns>;
  working: AtomicHandle<number>;
  name: string;
}

function isPrime(n: number): boolean {
  for (let i = 2; i * i <= n; i++) if (n % i === 0) return false;
  return n > 1;
}

async function work(shared: Shared): Promise<void> {
  const primes = SharedChan.from(shared.primes);
  const tally = Table.from(shared.tally);
  for await (const n of SharedChan.from(shared.numbers)) {
    tally.incr(shared.name, "tested");
    if (!isPrime(n)) continue;
    tally.incr(shared.name, "found");
    await primes.send(n);
  }
  // Who ends last says that there will be no more.
  if (AtomicInt32.from(shared.working).sub(1) === 0) primes.close();
}

async function main(): Promise<void> {
  const numbers = new SharedChan<number>({ capacity: 64 });
  const primes = new SharedChan<number>({ capacity: 64 });
  const tally = new Table({ rows: 16, columns });
  const working = new AtomicInt32(THREADS);
  for (let i = 1; i <= THREADS; i++) {
    const shared: Shared = {
      numbers: numbers.handle,
      primes: primes.handle,
      tally: tally.handle,
      working: working.handle,
      name: `thread ${i}`,
    };
    new Worker(new URL(import.meta.url), { workerData: shared });
  }
  const sending = (async () => {
    for (let n = 1; n <= 1000; n++) await numbers.send(n);
    numbers.close();
  })();
  let count = 0;
  for await (const _ of primes) count++;
  await sending;
  let tested = 0;
  for (const [name, row] of tally) {
    console.log(`${name}: ${row.tested} tested, ${row.found} found`);
    tested += row.tested;
  }
  console.log(`${tested} numbers, ${count} primes, by ${THREADS} threads`);
}

if (isMainThread) await main();
else await work(workerData as Shared);
