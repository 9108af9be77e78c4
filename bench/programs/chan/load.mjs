// What the programs of the chan suite share.
import v8 from "node:v8";
import vm from "node:vm";

export const CAPACITY = 128;
/** A time that no measurement reaches. */
export const FAR_MS = 3_600_000;
const HELD = 100_000;
const FIRST = 1_000;

/** Fails unless 0, 1, …, count - 1 have come. */
export function checkSum(sum, count) {
  if (sum !== (count * (count - 1)) / 2) throw new Error("values were lost");
}

/** True when the program is asked for memory and not for time. */
export function isHeap() {
  return process.argv[process.argv.indexOf("--case") + 1] === "heap";
}

/** Makes many of something that waits, and prints what each of them takes of the heap. */
export async function holdMany(make) {
  v8.setFlagsFromString("--expose-gc");
  const gc = vm.runInNewContext("gc");
  const inUse = async () => {
    await new Promise((resolve) => setImmediate(resolve));
    gc();
    await new Promise((resolve) => setImmediate(resolve));
    gc();
    return process.memoryUsage().heapUsed;
  };
  for (let i = 0; i < FIRST; i++) make();
  const before = await inUse();
  for (let i = 0; i < HELD; i++) make();
  console.log(JSON.stringify({ bytes: ((await inUse()) - before) / HELD }));
  process.exit();
}
