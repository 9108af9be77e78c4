/** inspected_thread.ts: a thread of inspected.ts, with a column of its own. */
import { startDebugging } from "../../src/debug/index.ts";
import { go, pipe, sleep } from "../../src/index.ts";

await startDebugging({ signals: [], quit: false, locks: 0 });

go(async function talker() {
  const [a, b] = pipe();
  const bytes = new Uint8Array(1000);
  for (;;) {
    await a.write(bytes.subarray(0, 500));
    await b.read(bytes);
    await sleep(5);
  }
});
