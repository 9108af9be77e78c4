// What the measuring programs of the suite share: two threads, messages of 64 bytes.
//
// A program takes --case, --seconds and --warmup. `stream` counts the messages that one thread sends and
// the other receives; `pingpong` measures each message there and back. It prints one line of JSON.
import { parentPort, Worker, workerData } from "node:worker_threads";

export const SIZE = 64;
/** Messages that may be on their way. */
export const CAPACITY = 1024;

function options() {
  return Object.fromEntries(
    process.argv.slice(2).flatMap((word, i, words) => (i % 2 === 0 ? [[word, words[i + 1]]] : [])),
  );
}

/** The other thread: the program's own file again, with what it is given. */
export function otherThread(file, data, transferList = []) {
  return new Worker(file, { workerData: data, transferList });
}

export { parentPort, workerData };

/** @param {{ stream: (count: number) => Promise<void>, pingpong: () => Promise<void> }} cases */
export async function measure(cases) {
  const { "--case": name, "--seconds": seconds, "--warmup": warmup } = options();
  const run = name === "stream" ? stream : pingPong;
  await run(cases, Number(warmup));
  console.log(JSON.stringify(await run(cases, Number(seconds))));
  process.exit(0);
}

async function stream({ stream: receive }, seconds) {
  const batch = 20_000;
  const began = performance.now();
  const before = process.cpuUsage();
  let operations = 0;
  let elapsed = 0;
  while (elapsed < seconds) {
    await receive(batch);
    operations += batch;
    elapsed = (performance.now() - began) / 1000;
  }
  const { user, system } = process.cpuUsage(before);
  return { operations, seconds: elapsed, cpu: (user + system) / 1e6, p50: 0, p99: 0 };
}

async function pingPong({ pingpong }, seconds) {
  const times = [];
  const began = performance.now();
  const before = process.cpuUsage();
  let elapsed = 0;
  while (elapsed < seconds) {
    const sent = performance.now();
    await pingpong();
    const now = performance.now();
    times.push(now - sent);
    elapsed = (now - began) / 1000;
  }
  const { user, system } = process.cpuUsage(before);
  times.sort((a, b) => a - b);
  const at = (part) => times[Math.floor(times.length * part)] * 1e6;
  const cpu = (user + system) / 1e6;
  return { operations: times.length, seconds: elapsed, cpu, p50: at(0.5), p99: at(0.99) };
}
