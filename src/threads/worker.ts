/** worker.ts: the program of a reactor thread. */
import { workerData } from "node:worker_threads";
import type { Boot } from "./protocol.ts";
import { Reactor } from "./reactor.ts";

await new Reactor(workerData as Boot).run();
