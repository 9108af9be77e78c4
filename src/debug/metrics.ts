/**
 * metrics.ts: metrics(): the meters in a registry of prom-client, an optional peer dependency.
 *
 * Every thread of the process that shares its meters (meters/gather.ts) has its lines, told apart by the
 * label "thread"; and so have workers that are processes, by the label "worker". Nothing is added up here:
 * a counter of a sum goes down when a thread ends, which Prometheus takes for a restart.
 */
import { askControl, ControlError, controlPaths } from "./control.ts";
import { gatherMeters, shareMeters } from "./meters/gather.ts";
import type { Meters } from "./meters/meters.ts";
import { METRICS, type Sample, type Shown } from "./prometheus.ts";

/** What is needed of prom-client's Registry. */
export interface MetricRegistry {
  // biome-ignore lint/suspicious/noExplicitAny: prom-client's Metric, which users need not have installed
  registerMetric(metric: any): void;
  removeSingleMetric(name: string): void;
  metrics(): Promise<string>;
  readonly contentType: string;
}

/** What is needed of a Server of createServer. */
interface WithWorkers {
  stats(): Promise<{ readonly workers: readonly { pid: number; index: number }[] }>;
}

export interface MetricsOptions {
  /** Where the metrics are registered; prom-client's own `register` by default. */
  registry?: MetricRegistry;
  /** Before every name; "coronet_" by default. */
  prefix?: string;
  /** A server of createServer whose workers are processes: their metrics are fetched too. */
  server?: WithWorkers;
}

/** Metrics that are registered. */
export interface Metrics extends Disposable {
  readonly registry: MetricRegistry;
  /** A handler for serve: answers with the text that Prometheus reads. */
  readonly handler: (request?: unknown) => Promise<Response>;
  /** Takes the metrics out of the registry. */
  stop(): void;
}

/** The meters of one thread, and which worker's it is. */
interface Source {
  readonly meters: Meters;
  readonly labels: Record<string, string>;
}

/** How long what was gathered serves all metrics of one scrape, in ms. */
const SCRAPE_MS = 50;

class Collection {
  private readonly server: WithWorkers | undefined;
  private latest: Promise<Source[]> | undefined;

  constructor(server: WithWorkers | undefined) {
    this.server = server;
  }

  /** Once per scrape, whichever metric is the first. */
  sources(): Promise<Source[]> {
    if (this.latest === undefined) {
      const forget = (): void => {
        setTimeout(() => {
          this.latest = undefined;
        }, SCRAPE_MS).unref();
      };
      this.latest = this.gather();
      this.latest.then(forget, forget);
    }
    return this.latest;
  }

  private async gather(): Promise<Source[]> {
    const own = (await gatherMeters()).map((meters) => ({
      meters,
      labels: { thread: String(meters.thread) },
    }));
    if (this.server === undefined) return own;
    const { workers } = await this.server.stats();
    const others = workers.filter(({ pid }) => pid !== process.pid).map(workerSources);
    return [...own, ...(await Promise.all(others)).flat()];
  }
}

async function workerSources({ pid, index }: { pid: number; index: number }): Promise<Source[]> {
  try {
    // Any of its threads asks the others.
    const [path] = controlPaths(String(pid)) as [string];
    const all = (await askControl(path, "meters")) as Meters[];
    return all.map((meters) => ({
      meters,
      labels: { worker: String(index), thread: String(meters.thread) },
    }));
  } catch (error) {
    // It has no control socket, is busy or has ended: its lines are missing, the others are there.
    if (error instanceof ControlError) return [];
    throw error;
  }
}

/** A metric as prom-client's registry wants it. */
class Collected {
  readonly name: string;
  readonly help: string;
  readonly type: Shown["type"];
  readonly aggregator = "sum";
  private readonly shown: Shown;
  private readonly collection: Collection;

  constructor(shown: Shown, prefix: string, collection: Collection) {
    this.name = prefix + shown.name;
    this.help = shown.help;
    this.type = shown.type;
    this.shown = shown;
    this.collection = collection;
  }

  async get(): Promise<object> {
    const { name, help, type, aggregator, shown } = this;
    const sources = await this.collection.sources();
    const all: Sample[] = sources.flatMap(({ meters, labels }) =>
      shown.samples(name, meters, labels),
    );
    return { name, help, type, aggregator, values: all };
  }

  reset(): void {
    // Counters go on with the process.
  }
}

async function defaultRegistry(): Promise<MetricRegistry> {
  try {
    const { default: client } = await import("prom-client");
    return client.register;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new Error("metrics: the package prom-client is not installed: npm install prom-client", {
      cause: error,
    });
  }
}

/**
 * Registers Coronet's metrics with prom-client: connections, bytes, goroutines, the poller, timers, HTTP,
 * pools; of every thread of the process. Keeps the meters as long as they are registered.
 *
 * Fails when neither a registry is given nor prom-client is installed, and when the names are taken.
 *
 * @example
 * import { serve } from "coronet/http";
 * import { metrics } from "coronet/debug";
 * using exported = await metrics();
 * await using server = await serve("127.0.0.1:0", exported.handler);
 * const text = await (await fetch(`http://${server.addr}/metrics`)).text();
 * console.log(text.includes('coronet_listeners{thread="0"} 1')); // true
 */
export async function metrics(options: MetricsOptions = {}): Promise<Metrics> {
  const { prefix = "coronet_", server } = options;
  if (!/^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(prefix)) {
    throw new TypeError(`metrics: the prefix ${JSON.stringify(prefix)} begins no metric's name`);
  }
  const registry = options.registry ?? (await defaultRegistry());
  const unshare = shareMeters();
  const collection = new Collection(server);
  const registered: string[] = [];
  const stop = (): void => {
    for (const name of registered.splice(0)) registry.removeSingleMetric(name);
    unshare();
  };
  try {
    for (const shown of METRICS) {
      const metric = new Collected(shown, prefix, collection);
      registry.registerMetric(metric);
      registered.push(metric.name);
    }
  } catch (error) {
    stop();
    throw error;
  }
  const handler = async (): Promise<Response> =>
    new Response(await registry.metrics(), { headers: { "content-type": registry.contentType } });
  return { registry, handler, stop, [Symbol.dispose]: stop };
}
