// The suites, in the order in which they run.
import type { Suite } from "../suite.ts";
import { chan, parked } from "./chan.ts";
import { churn } from "./churn.ts";
import { client } from "./client.ts";
import { echo } from "./echo.ts";
import { fairness } from "./fairness.ts";
import { fetch } from "./fetch.ts";
import { files } from "./files.ts";
import { frameworks } from "./frameworks.ts";
import { gateway } from "./gateway.ts";
import { h2 } from "./h2.ts";
import { http } from "./http.ts";
import { idle } from "./idle.ts";
import { proxy } from "./proxy.ts";
import { shared } from "./shared.ts";
import { sync } from "./sync.ts";
import { moves, threads } from "./threads.ts";
import { tls } from "./tls.ts";
import { udp } from "./udp.ts";
import { ws } from "./ws.ts";

export const suites: readonly Suite[] = [
  echo,
  churn,
  idle,
  fairness,
  udp,
  proxy,
  client,
  http,
  h2,
  ws,
  tls,
  fetch,
  gateway,
  files,
  frameworks,
  sync,
  chan,
  parked,
  shared,
  threads,
  moves,
];
