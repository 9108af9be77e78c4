/**
 * long_hold.ts: goroutines that hold their thread, watched by sysmon.
 *
 *   long_hold print     one that ends, reported on standard error
 *   long_hold endless   one that never ends: the test kills the program
 *   long_hold thread    one on a worker thread
 *   long_hold others    nothing that is too long: awaits in a loop
 */
import { isMainThread, Worker } from "node:worker_threads";
import { go, gosched, sleep, startSysmon, stats } from "../../src/index.ts";

const what = process.argv[2];

function spin(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end; );
}

async function hog(ms: number): Promise<void> {
  await sleep(1);
  spin(ms);
}

async function polite(): Promise<void> {
  for (let i = 0; i < 1500; i++) {
    spin(1);
    await gosched();
  }
}

if (!isMainThread) {
  await go(hog, 120).join();
  console.log(`thread counted ${stats().longHolds}`);
} else {
  const sysmon = await startSysmon({ threshold: what === "others" ? 1000 : 50 });
  if (what === "thread") {
    const worker = new Worker(new URL(import.meta.url), { argv: [what] });
    await new Promise((resolve) => worker.once("exit", resolve));
  } else {
    if (what === "others") await go(polite).join();
    else await go(hog, what === "endless" ? Infinity : 200).join();
  }
  await sleep(200);
  console.log(`counted ${stats().longHolds} here, ${sysmon.longHolds} in all`);
  await sysmon.stop();
}
