/** served.ts: clients of the servers that run test/programs/served.ts. */
import {
  type Addr,
  type Conn,
  createServer,
  dial,
  type Server,
  type ServerOptions,
  type ServerStats,
  type StreamNetwork,
} from "../src/index.ts";
import { programPath } from "./child.ts";

/** What the worker that answers is. */
export interface Answered {
  pid: number;
  thread: number;
  id: number;
}

export async function connect(addr: Addr): Promise<Conn> {
  return await dial(addr.network as StreamNetwork, String(addr));
}

/** Writes a word and reads the line that answers; undefined at the end of the stream. */
export async function ask(conn: Conn, word: string): Promise<string | undefined> {
  await conn.write(`${word}\n`);
  return await line(conn);
}

export async function line(conn: Conn): Promise<string | undefined> {
  let text = "";
  for await (const chunk of conn) {
    text += Buffer.from(chunk).toString();
    if (text.endsWith("\n")) return text.trimEnd();
  }
  return undefined;
}

/** Who answers on a connection of its own. */
export async function whoServes(addr: Addr): Promise<Answered> {
  await using conn = await connect(addr);
  return answered(await ask(conn, "id"));
}

export function answered(text: string | undefined): Answered {
  const [pid, thread, id] = String(text).split(" ").map(Number);
  return { pid: pid as number, thread: thread as number, id: id as number };
}

/** Clients that ask again and again, each time on a new connection, until they are stopped. */
export class Load {
  served = 0;
  readonly failures: unknown[] = [];
  /** Workers that answered. */
  readonly ids = new Set<number>();
  readonly pids = new Set<number>();
  private stopped = false;
  private readonly clients: Promise<void>[];

  constructor(addr: Addr, clients: number) {
    this.clients = Array.from({ length: clients }, () => this.run(addr));
  }

  private async run(addr: Addr): Promise<void> {
    while (!this.stopped) {
      try {
        const { id, pid } = await whoServes(addr);
        if (Number.isNaN(id)) throw new Error("the stream ended without an answer");
        this.ids.add(id);
        this.pids.add(pid);
        this.served++;
      } catch (error) {
        this.failures.push(error);
      }
    }
  }

  /** Waits until so many more were served. */
  async more(n: number): Promise<void> {
    const until = this.served + n;
    while (this.served < until && this.failures.length < 100) await pause(5);
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.clients);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Waits until something holds; fails after a while. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const giveUp = Date.now() + 20_000; !(await holds()); await pause(10)) {
    if (Date.now() > giveUp) throw new Error(`gave up waiting until ${what}`);
  }
}

/** A server in this process, and what it said. It is stopped at the end of the scope. */
export interface Started extends AsyncDisposable {
  server: Server;
  addr: Addr;
  lines: string[];
}

export async function start(options: Partial<ServerOptions>): Promise<Started> {
  const lines: string[] = [];
  const server = await createServer({
    module: programPath("served"),
    listen: [["tcp", "127.0.0.1:0"]],
    signals: false,
    log: (text) => lines.push(text),
    ...options,
  });
  const addr = server.addrs[0] as Addr;
  return { server, addr, lines, [Symbol.asyncDispose]: () => server.stop() };
}

/** The numbers of a server once they say this: a worker that is busy is shown as it was before. */
export async function numbers(
  server: Server,
  expected: Partial<ServerStats>,
): Promise<ServerStats> {
  let stats = await server.stats();
  await until(`its numbers are ${JSON.stringify(expected)}`, async () => {
    stats = await server.stats();
    return Object.entries(expected).every(([key, n]) => stats[key as keyof ServerStats] === n);
  });
  return stats;
}
