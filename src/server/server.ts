/**
 * server.ts: createServer(): sockets, workers under a supervisor, and the life of the whole.
 *
 *   listen ▶ become another user ▶ start the workers ▶ say that it is ready ▶ … ▶ drain ▶ end
 *
 * The signals are those that nginx and Unicorn have made customary: SIGTERM and SIGINT end it (a second
 * one at once), SIGHUP reloads the workers, SIGUSR2 puts a new program in its place.
 */
import type { Addr } from "../net/addr.ts";
import { parked, resolver } from "../runtime/park.ts";
import { Handing } from "./handing.ts";
import { type ServerOptions, type Settings, settingsOf } from "./options.ts";
import { PidFile } from "./pid_file.ts";
import { becomeUser } from "./privileges.ts";
import { Sockets, takeHandover } from "./sockets.ts";
import type { ServerStats } from "./stats.ts";
import { Supervisor } from "./supervisor.ts";
import { ServiceManager } from "./systemd.ts";

/** A running server. */
export class Server implements AsyncDisposable {
  /** Resolves when it has stopped: every worker has ended, nothing listens any more. */
  readonly closed: Promise<void>;
  private readonly settings: Settings;
  private readonly sockets: Sockets;
  private readonly supervisor: Supervisor;
  private readonly manager: ServiceManager;
  private readonly pidFile: PidFile | undefined;
  private readonly end = parked<void>();
  private readonly ended = resolver<void>();
  private stopping: Promise<void> | undefined;
  private restarting: Promise<void> | undefined;
  /** Another program has the sockets. */
  private replaced = false;
  private readonly handlers: readonly (readonly [NodeJS.Signals, () => void])[] = [
    ["SIGTERM", () => this.onStopSignal()],
    ["SIGINT", () => this.onStopSignal()],
    ["SIGHUP", () => void this.attempt("reload", () => this.reload())],
    ["SIGUSR2", () => void this.attempt("restart", () => this.restart())],
  ];

  /** @internal */
  constructor(
    settings: Settings,
    sockets: Sockets,
    supervisor: Supervisor,
    manager: ServiceManager,
    pidFile: PidFile | undefined,
  ) {
    this.settings = settings;
    this.sockets = sockets;
    this.supervisor = supervisor;
    this.manager = manager;
    this.pidFile = pidFile;
    this.closed = this.end;
    if (settings.signals)
      for (const [signal, handler] of this.handlers) process.on(signal, handler);
  }

  /** What it listens on, in the order of its `listen`. */
  get addrs(): readonly Addr[] {
    return this.sockets.addrs;
  }

  /** Numbers about every worker, and in all with those that have ended. */
  stats(): Promise<ServerStats> {
    return this.supervisor.stats();
  }

  /**
   * Starts new workers, which import the module anew; when all of them serve, the old ones accept
   * nothing more, finish what they have, at most drainTimeout, and end. Resolves when every new
   * connection goes to the new ones. Fails when one of them does not begin; the old ones then go on.
   */
  async reload(): Promise<void> {
    this.manager.reloading();
    try {
      await this.supervisor.reload();
    } finally {
      this.manager.ready();
    }
  }

  /**
   * Puts a new run of this program in the place of this one: it is started with the same arguments and
   * gets the listening sockets; when its server is ready, this one drains and `closed` resolves. Fails
   * when the new program ends before that; this one then goes on.
   */
  restart(): Promise<void> {
    this.restarting ??= this.handOver().finally(() => {
      this.restarting = undefined;
    });
    return this.restarting;
  }

  /**
   * Accepts nothing more, lets the workers finish what they have, and ends them; connections that have
   * not ended after `timeout` ms (the drainTimeout by default) are closed.
   */
  stop(timeout = this.settings.drainTimeout): Promise<void> {
    if (this.stopping !== undefined) void this.supervisor.stop(timeout);
    this.stopping ??= this.shutDown(timeout);
    return this.stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  private async handOver(): Promise<void> {
    if (this.stopping !== undefined) throw new Error("restart: the server is stopping");
    const handing = new Handing(this.sockets.forSuccessor());
    await handing.done;
    this.replaced = true;
    this.settings.log(`replaced by process ${handing.pid}`);
    void this.stop();
  }

  private async shutDown(timeout: number): Promise<void> {
    if (!this.replaced) this.manager.stopping();
    // Whatever still waits in the backlog goes to the workers of the next program, or is refused.
    const drained = this.supervisor.stop(timeout);
    await (this.replaced ? this.sockets.passed() : this.sockets.close());
    await drained;
    this.manager.close();
    this.pidFile?.remove();
    for (const [signal, handler] of this.handlers) process.off(signal, handler);
    this.ended();
  }

  private onStopSignal(): void {
    void this.stop(this.stopping === undefined ? undefined : 0);
  }

  private async attempt(what: string, act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      this.settings.log(`${what} failed, going on as before: ${(error as Error).message}`);
    }
  }
}

/**
 * Runs a server: listens, starts workers that import a module and serve connections with its default
 * export, and keeps them running. Resolves when every worker serves. Fails with a NetError when it
 * cannot listen, with a WorkerError when a worker does not begin, and leaves nothing behind then.
 *
 * @example
 * import { createServer, dial } from "coronet";
 * const module = new URL(
 *   "data:text/javascript," +
 *     encodeURIComponent("export default async (conn, info) => conn.write(`worker ${info.index}`)"),
 * );
 * await using server = await createServer({ module, listen: [["tcp", "127.0.0.1:0"]] });
 * await using conn = await dial("tcp", String(server.addrs[0]));
 * for await (const chunk of conn) console.log(new TextDecoder().decode(chunk)); // worker 0
 */
export async function createServer(options: ServerOptions): Promise<Server> {
  const settings = settingsOf(options);
  const handover = takeHandover();
  const manager = new ServiceManager();
  const pidFile =
    settings.pidFile === undefined ? undefined : PidFile.create(settings.pidFile, handover?.pid);
  let sockets: Sockets | undefined;
  try {
    sockets = await Sockets.open(settings, handover);
    becomeUser(settings.user, settings.group);
    const supervisor = new Supervisor(settings, sockets);
    await supervisor.start();
    pidFile?.write();
    const server = new Server(settings, sockets, supervisor, manager, pidFile);
    manager.ready(handover !== undefined);
    Handing.tellPredecessor(handover);
    return server;
  } catch (error) {
    // The program that this one was to replace goes on with these sockets: their paths are its own.
    await (handover === undefined ? sockets?.close() : sockets?.passed());
    pidFile?.remove();
    manager.close();
    throw error;
  }
}
