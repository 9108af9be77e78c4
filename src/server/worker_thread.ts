/** worker_thread.ts: what a worker thread runs. It has numbers of its own for the listening sockets. */
import { parentPort, workerData } from "node:worker_threads";
import type { Boot, Order, Report } from "./control.ts";
import { sharedWithThread } from "./listeners.ts";
import { WorkerProgram } from "./worker_program.ts";

const boot = workerData as Boot;
const program = new WorkerProgram(boot, boot.sockets.map(sharedWithThread), {
  report: (message: Report) => parentPort?.postMessage(message),
  // What was printed and said is on its way only after this turn.
  exit: (status) => setImmediate(() => process.exit(status)),
});
parentPort?.on("message", (order: Order) => program.onOrder(order));
void program.run();
