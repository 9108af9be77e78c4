// What every measuring program in JavaScript shares: takes --case, --seconds and --warmup, runs the
// case in batches for so long, and prints the report that program.ts reads.

/** @param {Record<string, (count: number) => Promise<void>>} cases each does `count` operations */
export async function measure(cases, batch = 20_000) {
  const options = Object.fromEntries(
    process.argv.slice(2).flatMap((word, i, words) => (i % 2 === 0 ? [[word, words[i + 1]]] : [])),
  );
  const run = cases[options["--case"]];
  if (run === undefined) throw new Error(`no case is called ${options["--case"]}`);
  await repeat(run, batch, Number(options["--warmup"]));
  console.log(JSON.stringify(await repeat(run, batch, Number(options["--seconds"]))));
}

async function repeat(run, batch, seconds) {
  const began = performance.now();
  const before = process.cpuUsage();
  let operations = 0;
  let elapsed = 0;
  while (elapsed < seconds) {
    await run(batch);
    operations += batch;
    elapsed = (performance.now() - began) / 1000;
  }
  const { user, system } = process.cpuUsage(before);
  return { operations, seconds: elapsed, cpu: (user + system) / 1e6 };
}

export const CONTENDERS = 8;
export const SLOTS = 4;
export const SPAWNED = 1000;
