// MessagePort, as fast as it goes: listeners, no promise per message. It has no bound of its own, so the
// receiver gives the sender leave for the next half of what may be on its way.
import { isMainThread, MessageChannel } from "node:worker_threads";
import { CAPACITY, measure, otherThread, SIZE, workerData } from "./load.mjs";

const HALF = CAPACITY / 2;

function flood(port) {
  const message = new Uint8Array(SIZE).fill(7);
  const half = () => {
    for (let i = 0; i < HALF; i++) port.postMessage(message);
  };
  port.on("message", half);
  half();
  half();
}

function main() {
  const name = process.argv[process.argv.indexOf("--case") + 1];
  const { port1, port2 } = new MessageChannel();
  otherThread(import.meta.filename, { name, port: port2 }, [port2]);
  const message = new Uint8Array(SIZE).fill(7);
  let received = 0;
  let wanted = Number.POSITIVE_INFINITY;
  let done = () => {};
  port1.on("message", (got) => {
    if (got.length !== SIZE) throw new Error("not what was sent");
    received++;
    if (name === "stream" && received % HALF === 0) port1.postMessage(0);
    if (received >= wanted) done();
  });
  const receive = (count) =>
    new Promise((resolve) => {
      wanted = received + count;
      done = resolve;
    });
  return measure({
    stream: receive,
    pingpong() {
      const answered = receive(1);
      port1.postMessage(message);
      return answered;
    },
  });
}

if (isMainThread) await main();
else if (workerData.name === "stream") flood(workerData.port);
else workerData.port.on("message", (message) => workerData.port.postMessage(message));
