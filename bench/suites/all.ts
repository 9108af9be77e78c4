// The suites, in the order in which they run.
import type { Suite } from "../suite.ts";
import { chan, parked } from "./chan.ts";
import { churn } from "./churn.ts";
import { echo } from "./echo.ts";
import { fairness } from "./fairness.ts";
import { idle } from "./idle.ts";
import { proxy } from "./proxy.ts";
import { sync } from "./sync.ts";
import { moves, threads } from "./threads.ts";

export const suites: readonly Suite[] = [
  echo,
  churn,
  idle,
  fairness,
  proxy,
  sync,
  chan,
  parked,
  threads,
  moves,
];
