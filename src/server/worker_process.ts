/**
 * worker_process.ts: what a worker process runs. Its orders come over the channel that Node gives a
 * child; the sockets that it listens on are inherited.
 *
 * The end of the channel is the end of the supervisor, also by kill -9: the worker drains and ends.
 * Signals that a terminal sends to the whole group are the supervisor's to handle; SIGTERM drains.
 */
import type { Boot, Order, Report } from "./control.ts";
import { inheritedListener } from "./listeners.ts";
import { inheritedInbox } from "./placed.ts";
import { WorkerProgram } from "./worker_program.ts";

for (const signal of ["SIGINT", "SIGHUP", "SIGUSR2"] as const) process.on(signal, () => {});

const send = process.send?.bind(process);
if (send === undefined) {
  console.error("coronet: worker_process.js is started by createServer");
  process.exit(2);
}

let underway = 0;
let status: number | undefined;

function endIfSaid(): void {
  if (status !== undefined && underway === 0) process.exit(status);
}

function report(message: Report): void {
  if (!process.connected) return;
  underway++;
  send?.(message, undefined, undefined, () => {
    underway--;
    endIfSaid();
  });
}

function exit(code: number): void {
  status = code;
  setImmediate(endIfSaid);
}

process.once("message", (boot: Boot) => {
  const placed = inheritedInbox(boot);
  const listeners = placed === undefined ? boot.sockets.map(inheritedListener) : [];
  const program = new WorkerProgram(boot, { listeners, placed }, { report, exit });
  process.on("message", (order: Order) => program.onOrder(order));
  process.on("disconnect", () => program.endByItself());
  process.on("SIGTERM", () => program.endByItself());
  void program.run();
});
