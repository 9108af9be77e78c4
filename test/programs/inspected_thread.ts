/** inspected_thread.ts: a thread of inspected.ts, with a column of its own. */
import { startDebugging } from "../../src/debug/index.ts";
import { go, pipe, sleep } from "../../src/index.ts";

await startDebugging({ signals: [], quit: false, locks: 0 });

const [a, b] = pipe();

go(async function listener() {
  for await (const chunk of b) await b.write(chunk.subarray(0, 100));
});

go(async function talker() {
  const bytes = new Uint8Array(1000);
  for (;;) {
    await a.write(bytes.subarray(0, 500));
    await a.read(bytes);
    await sleep(5);
  }
});
