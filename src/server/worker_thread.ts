/** worker_thread.ts: what a worker thread runs. It has numbers of its own for the listening sockets. */
import { parentPort, workerData } from "node:worker_threads";
import type { Boot, Order, Report } from "./control.ts";
import { sharedWithThread } from "./listeners.ts";
import { inboxOfThread } from "./placed.ts";
import { WorkerProgram } from "./worker_program.ts";

const boot = workerData as Boot;
const placed = inboxOfThread(boot);
const listeners = placed === undefined ? boot.sockets.map(sharedWithThread) : [];
const program = new WorkerProgram(
  boot,
  { listeners, placed },
  {
    report: (message: Report) => parentPort?.postMessage(message),
    // What was printed and said is on its way only after this turn.
    exit: (status) => setImmediate(() => process.exit(status)),
  },
);
parentPort?.on("message", (order: Order) => program.onOrder(order));
void program.run();
