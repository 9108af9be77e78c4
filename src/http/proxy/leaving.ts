/**
 * leaving.ts: ends the upstream's exchange when the client leaves.
 *
 * Knowing that takes a read on the client's connection, so it is done only for exchanges that take their
 * time: most are over before it would be worth it. One timer serves all of a proxy: the second time that it
 * meets an exchange, this one is watched. While nothing is under way it stands still.
 */
import { List, ListEntry } from "../../internal/list.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { Timer } from "../../runtime/timers.ts";
import type { Exchange } from "../client/exchange.ts";
import type { Ending } from "../client/limit.ts";
import { HTTPError } from "../errors.ts";
import type { RequestInfo } from "../info.ts";
import type { Upstream } from "./upstream.ts";

/** A request is watched for its client leaving when it takes longer than once to twice this, in ms. */
const WATCHED_AFTER_MS = 20;

/** Why an exchange was ended whose client had gone: there is nobody to answer. */
export function clientGone(cause: unknown): HTTPError {
  return new HTTPError(0, "ERR_CLIENT_GONE", "the client has gone", cause);
}

/** All exchanges of a proxy that are not watched yet, the oldest first. */
export class Leavers extends Timer {
  private readonly runtime: Runtime;
  private readonly waiting = new List<Leaver>();
  private round = 0;

  constructor(rt: Runtime) {
    super();
    this.runtime = rt;
  }

  begin(info: RequestInfo, upstream: Upstream): Leaver {
    const leaver = new Leaver(info, upstream, this.round);
    this.waiting.push(leaver);
    if (this.index === -1) this.arm();
    return leaver;
  }

  private arm(): void {
    const { timers, clock } = this.runtime;
    timers.arm(this, clock.now() + WATCHED_AFTER_MS);
  }

  fire(): void {
    const { waiting, round } = this;
    for (let first = waiting.peek(); first !== undefined; first = waiting.peek()) {
      if (first.round === round) break;
      waiting.remove(first);
      first.watch();
    }
    this.round++;
    if (waiting.length > 0) this.arm();
  }
}

/** One exchange, for as long as it holds its upstream's connection. */
export class Leaver extends ListEntry implements Ending {
  readonly round: number;
  private readonly info: RequestInfo;
  private readonly upstream: Upstream;
  private exchange: Exchange | undefined = undefined;
  private gone: AbortSignal | undefined = undefined;
  private ended = false;

  constructor(info: RequestInfo, upstream: Upstream, round: number) {
    super();
    this.info = info;
    this.upstream = upstream;
    this.round = round;
    upstream.requests++;
    upstream.active++;
  }

  /** Dialling goes on for the next request if its client leaves meanwhile. */
  get signal(): undefined {
    return undefined;
  }

  watch(): void {
    const { signal } = this.info.context;
    this.gone = signal;
    if (signal.aborted) this.handleEvent();
    else signal.addEventListener("abort", this);
  }

  handleEvent(): void {
    this.exchange?.giveUp(clientGone(this.gone?.reason));
  }

  over(exchange: Exchange): void {
    this.exchange = exchange;
    if (this.gone?.aborted === true) this.handleEvent();
  }

  last(exchange: Exchange): void {
    exchange.whenLeft(this);
  }

  end(): void {
    if (this.ended) return;
    this.ended = true;
    this.list?.remove(this);
    this.gone?.removeEventListener("abort", this);
    this.exchange = undefined;
    this.upstream.active--;
  }
}
