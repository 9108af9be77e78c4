// run: --workers 4
// expect: 40 jobs done by 4 workers, the sum of the squares is 22140
/**
 * fan_out.ts: one channel of jobs, many workers, one channel of results.
 *
 * The workers receive from the same channel, so whoever is free takes the next job: no scheduling, no
 * lock. The buffer of the jobs bounds how far the producer may be ahead. When the producer has closed
 * the jobs the workers end one by one, and the last of them closes the results.
 *
 *   node dist/examples/fan_out.js --workers 4
 */
import { parseArgs } from "node:util";
import { Chan, go, sleep, WaitGroup } from "coronet";

const { values } = parseArgs({ options: { workers: { type: "string", default: "4" } } });
const JOBS = 40;
const count = Number(values.workers);

interface Result {
  worker: number;
  square: number;
}

const jobs = new Chan<number>(8);
const results = new Chan<Result>();
const workers = new WaitGroup();

async function work(worker: number) {
  for await (const job of jobs) {
    await sleep(1 + (job % 3)); // Some jobs take longer than others.
    await results.send({ worker, square: job * job });
  }
}

for (let worker = 0; worker < count; worker++) workers.go(() => work(worker));
go(async () => {
  for (let job = 1; job <= JOBS; job++) await jobs.send(job);
  jobs.close();
  await workers.wait();
  results.close();
});

const done = new Map<number, number>();
let sum = 0;
for await (const { worker, square } of results) {
  sum += square;
  done.set(worker, (done.get(worker) ?? 0) + 1);
}
for (const [worker, jobsDone] of done) console.log(`worker ${worker} did ${jobsDone}`);
console.log(`${JOBS} jobs done by ${done.size} workers, the sum of the squares is ${sum}`);
