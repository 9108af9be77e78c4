/**
 * checks.ts: active health checks: each upstream is asked now and then, whatever requests there are.
 *
 * They keep no process alive.
 */
import type { Client } from "../client/client.ts";
import { atLeast, CHECKS, type CheckOptions } from "./options.ts";
import type { Upstream } from "./upstream.ts";

export class Checks {
  private readonly client: Client;
  private readonly timers: NodeJS.Timeout[];
  private readonly stopped = new AbortController();
  private readonly path: string;
  private readonly timeout: number;
  private readonly fails: number;
  private readonly passes: number;
  private readonly ok: (status: number) => boolean;

  constructor(client: Client, upstreams: readonly Upstream[], options: CheckOptions) {
    const { path, interval, timeout, fails, passes } = { ...CHECKS, ...options };
    this.client = client;
    this.path = path;
    this.timeout = atLeast(timeout, 1, "check.timeout");
    this.fails = atLeast(fails, 1, "check.fails");
    this.passes = atLeast(passes, 1, "check.passes");
    this.ok = options.ok ?? ((status) => status >= 200 && status < 400);
    const every = atLeast(interval, 1, "check.interval");
    this.timers = upstreams.map((upstream) => this.watch(upstream, every));
  }

  private watch(upstream: Upstream, every: number): NodeJS.Timeout {
    let row = 0;
    let busy = false;
    const round = async (): Promise<void> => {
      if (busy) return;
      busy = true;
      const passed = await this.ask(upstream);
      busy = false;
      row = passed === upstream.passing ? 0 : row + 1;
      if (row < (passed ? this.passes : this.fails)) return;
      upstream.passing = passed;
      row = 0;
    };
    void round();
    return setInterval(() => void round(), every).unref();
  }

  private async ask({ origin, prefix, passing }: Upstream): Promise<boolean> {
    try {
      const { signal } = this.stopped;
      const response = await this.client.fetch(origin.name + prefix + this.path, {
        signal,
        timeouts: { total: this.timeout },
        redirect: "manual",
        ...(origin.network === "tcp" ? {} : { socketPath: origin.address }),
      });
      await response.body?.cancel();
      return this.ok(response.status);
    } catch {
      return this.stopped.signal.aborted ? passing : false;
    }
  }

  stop(): void {
    for (const timer of this.timers) clearInterval(timer);
    this.stopped.abort();
  }
}
