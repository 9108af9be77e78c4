/** A thread that knows nothing of metrics; it holds a pipe until it is told to end. */
import { parentPort } from "node:worker_threads";
import { pipe } from "../../src/index.ts";

const [a, b] = pipe();
await a.write("four");
await b.read(new Uint8Array(4));
parentPort?.postMessage("ready");
parentPort?.once("message", async () => {
  await a.close();
  await b.close();
});
