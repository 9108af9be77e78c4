/** http_load.ts: clients that keep their connections alive and ask again and again. */
import { type Addr, NetError } from "../src/index.ts";
import { RawClient } from "../testing/http_client.ts";
import { type Answered, answered, pause } from "./served.ts";

/**
 * Each client asks on one connection until a response says that it was the last one, then on another.
 * Whatever else ends a connection is a failure.
 */
export class HTTPLoad {
  served = 0;
  readonly failures: unknown[] = [];
  /** Workers that answered. */
  readonly ids = new Set<string>();
  /** Connections that were ended by a response's Connection: close. */
  closed = 0;
  private stopped = false;
  private readonly connect: (addr: Addr) => Promise<RawClient>;
  private readonly clients: Promise<void>[];

  /** `connect` opens a connection, where it is another than one of plain TCP. */
  constructor(
    addr: Addr,
    clients: number,
    paths: readonly string[] = ["/id"],
    connect: (addr: Addr) => Promise<RawClient> = RawClient.to,
  ) {
    this.connect = connect;
    this.clients = Array.from({ length: clients }, (_, i) => {
      return this.run(addr, paths[i % paths.length] as string);
    });
  }

  private async run(addr: Addr, path: string): Promise<void> {
    while (!this.stopped) {
      try {
        await this.useOne(addr, path);
      } catch (error) {
        this.failures.push(error instanceof NetError ? error.message : error);
      }
    }
  }

  private async useOne(addr: Addr, path: string): Promise<void> {
    await using client = await this.connect(addr);
    while (!this.stopped) {
      await client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
      const response = await client.response();
      if (response === undefined) throw new Error("the connection ended without a response");
      if (response.status !== 200) throw new Error(`status ${response.status}`);
      this.served++;
      this.ids.add(response.body);
      if (response.headers.get("connection") === "close") {
        this.closed++;
        return;
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

/** Who answers on a connection. */
export async function whoAnswers(client: RawClient): Promise<Answered> {
  await client.send("GET /id HTTP/1.1\r\nHost: a\r\n\r\n");
  return answered((await client.response())?.body);
}
