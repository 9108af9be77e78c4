// SharedChan: a ring in shared memory, worked on by native calls.
import { isMainThread } from "node:worker_threads";
import { SharedChan } from "../../../dist/src/index.js";
import { CAPACITY, measure, otherThread, SIZE, workerData } from "./load.mjs";

async function flood(out) {
  const message = new Uint8Array(SIZE).fill(7);
  for (;;) await out.send(message);
}

async function echo(there, back) {
  for await (const message of there) await back.send(message);
}

function main() {
  const name = process.argv[process.argv.indexOf("--case") + 1];
  const there = new SharedChan({ capacity: CAPACITY });
  const back = new SharedChan({ capacity: CAPACITY });
  otherThread(import.meta.filename, { name, there: there.handle, back: back.handle });
  const message = new Uint8Array(SIZE).fill(7);
  return measure({
    async stream(count) {
      for await (const got of back) {
        if (got.length !== SIZE) throw new Error("not what was sent");
        if (--count === 0) break;
      }
    },
    async pingpong() {
      await there.send(message);
      await back.receive();
    },
  });
}

if (isMainThread) await main();
else {
  const there = SharedChan.from(workerData.there);
  const back = SharedChan.from(workerData.back);
  await (workerData.name === "stream" ? flood(back) : echo(there, back));
}
