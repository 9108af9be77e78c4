/** worker.ts: the program of a reactor thread. */
import { workerData } from "node:worker_threads";
import type { Boot } from "./protocol.ts";
import { Reactor } from "./reactor.ts";
import { become } from "./this_thread.ts";

const reactor = new Reactor(workerData as Boot);
become(reactor);
await reactor.run();
