/** A worker thread that uses Coronet. Its workerData says what it does; "ready" is posted when it does. */
import { parentPort, workerData } from "node:worker_threads";
import { type Conn, dial, go, type Listener, listen, pipe } from "../../src/index.ts";
import { lacksAbstractNames } from "../../testing/backend.ts";

const ANY = "127.0.0.1:0";

function ready(value: unknown = "ready"): void {
  parentPort?.postMessage(value);
}

async function pair(): Promise<[Conn, Conn]> {
  const listener = await listen("tcp", ANY);
  const [a, b] = await Promise.all([dial("tcp", String(listener.addr)), listener.accept()]);
  await listener.close();
  return [a, b];
}

async function echo(conn: Conn): Promise<void> {
  await using _ = conn;
  for await (const chunk of conn) await conn.write(chunk);
}

async function serve(listener: Listener): Promise<void> {
  for await (const conn of listener) go(echo, conn);
}

async function pingPong(conn: Conn): Promise<never> {
  const buffer = new Uint8Array(64);
  for (;;) {
    await conn.write("ping");
    await conn.read(buffer);
  }
}

const programs: Record<string, () => Promise<void>> = {
  async read() {
    const [a] = await pair();
    go(() => a.read(new Uint8Array(1)));
    ready();
  },

  async write() {
    const [a] = await pair();
    go(() => a.write(new Uint8Array(32 << 20)));
    ready();
  },

  async accept() {
    const listener = await listen("tcp", ANY);
    go(() => listener.accept());
    ready();
  },

  async busy() {
    for (let i = 0; i < 4; i++) {
      const [a, b] = await pair();
      go(echo, b);
      go(pingPong, a);
    }
    ready();
  },

  async everything() {
    const [a, b] = await pair();
    const [c] = pipe();
    const name = `coronet-worker-${process.pid}-${Math.random()}`;
    const network = lacksAbstractNames() === undefined ? "unix" : "tcp";
    const listener = await listen(network, network === "tcp" ? ANY : `@${name}`);
    a.setDeadline(new Date(Date.now() + 1));
    b.setTimeouts({ idle: 5 });
    go(() => a.read(new Uint8Array(1)));
    go(() => b.read(new Uint8Array(1)));
    go(() => c.read(new Uint8Array(1)));
    go(serve, listener);
    go(async () => {
      for (;;) await (await dial(network, String(listener.addr))).close();
    });
    ready();
  },

  async "ends by itself"() {
    const [a, b] = await pair();
    await a.write("x");
    await b.read(new Uint8Array(1));
    ready();
    // Both connections are left open: the thread ends all the same.
  },

  async exits() {
    const [a] = await pair();
    go(() => a.read(new Uint8Array(1)));
    ready();
    process.exit(3);
  },

  async "echo server"() {
    const listener = await listen("tcp", ANY);
    go(serve, listener);
    parentPort?.once("message", () => void listener.close());
    ready(String(listener.addr));
  },
};

await programs[workerData as string]?.();
