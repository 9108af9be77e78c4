/** Programs that end, or stay, depending on what waits. The first argument chooses one. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Conn, dial, go, listen, NetError, pipe, type TCPConn } from "../../src/index.ts";

const ANY = "127.0.0.1:0";

/** Says so if something else keeps the program alive: this timer does not. */
function sayIfAlive(): void {
  setTimeout(() => console.log("still here"), 300).unref();
}

async function pair(): Promise<[TCPConn, TCPConn]> {
  const listener = await listen("tcp", ANY);
  const [a, b] = await Promise.all([dial("tcp", String(listener.addr)), listener.accept()]);
  await listener.close();
  return [a, b];
}

async function read(conn: Conn): Promise<string> {
  try {
    const n = await conn.read(new Uint8Array(16));
    return n === null ? "end" : `${n} bytes`;
  } catch (error) {
    return error instanceof NetError ? error.code : String(error);
  }
}

const programs: Record<string, () => Promise<void>> = {
  async "closed listener"() {
    const listener = await listen("tcp", ANY);
    await listener.close();
  },

  async "closed listener, woken accept"() {
    const listener = await listen("tcp", ANY);
    go(async () => {
      for await (const _ of listener);
      console.log("loop ended");
    });
    setImmediate(() => void listener.close());
  },

  async "waiting accept"() {
    const listener = await listen("tcp", ANY);
    go(() => listener.accept());
    sayIfAlive();
  },

  async "unreferenced listener"() {
    const listener = await listen("tcp", ANY);
    go(() => listener.unref().accept());
    sayIfAlive();
  },

  async "listener unreferenced while it waits"() {
    const listener = await listen("tcp", ANY);
    go(() => listener.accept());
    await delay(10);
    listener.unref();
    sayIfAlive();
  },

  async "listener referenced again"() {
    const listener = await listen("tcp", ANY);
    go(() => listener.unref().accept());
    await delay(10);
    listener.ref();
    sayIfAlive();
  },

  async "unreferenced connection"() {
    const [a] = await pair();
    a.unref();
    go(() => a.read(new Uint8Array(1)));
    sayIfAlive();
  },

  async "waiting read"() {
    const [a] = await pair();
    go(() => a.read(new Uint8Array(1)));
    sayIfAlive();
  },

  async "waiting read on a pipe"() {
    const [a] = pipe();
    go(() => a.read(new Uint8Array(1)));
    sayIfAlive();
  },

  async "open connection on which nobody waits"() {
    await pair();
    sayIfAlive();
  },

  async "read with a deadline"() {
    const [a] = await pair();
    a.setReadDeadline(new Date(Date.now() + 30));
    console.log(await read(a));
  },

  async "read with a timeout"() {
    const [a] = await pair();
    a.setTimeouts({ read: 30 });
    console.log(await read(a));
  },

  async "deadline on which nobody waits"() {
    const [a] = await pair();
    a.setDeadline(new Date(Date.now() + 3_600_000));
    sayIfAlive();
  },

  async "last connection closes"() {
    const listener = await listen("tcp", ANY);
    const served = go(async () => {
      const conn = await listener.accept();
      await listener.close();
      for await (const chunk of conn) await conn.write(chunk);
      await conn.close();
    });
    const conn = await dial("tcp", String(listener.addr));
    await conn.write("echo");
    console.log(await read(conn));
    await conn.close();
    await served.join();
  },

  async "beside the host"() {
    const listener = await listen("tcp", ANY);
    const echo = go(async () => {
      for await (const conn of listener) {
        for await (const chunk of conn) await conn.write(chunk);
        await conn.close();
      }
    });
    const server = createServer((_, response) => response.end("from http"));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const folder = await mkdtemp(join(tmpdir(), "coronet-"));
    const file = join(folder, "file");
    await writeFile(file, "from a file");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const conn = await dial("tcp", String(listener.addr));
    const [text, content, waited, echoed] = await Promise.all([
      fetch(url).then((response) => response.text()),
      readFile(file, "utf8"),
      delay(20, "from a timer"),
      conn.write("echo").then(() => read(conn)),
    ]);
    console.log([text, content, waited, echoed].join(", "));
    await conn.close();
    server.close();
    server.closeAllConnections();
    await listener.close();
    await echo.join();
    await rm(folder, { recursive: true });
  },

  async "work that begins before the exit"() {
    process.once("beforeExit", () => {
      go(async () => {
        const [a, b] = await pair();
        const reading = read(a);
        await b.write("late");
        console.log(await reading);
        await a.close();
        await b.close();
      });
    });
  },

  async "exit in the middle"() {
    const [a] = await pair();
    const listener = await listen("tcp", ANY);
    go(() => listener.accept());
    go(() => a.read(new Uint8Array(1)));
    go(() => a.write(new Uint8Array(32 << 20)));
    setTimeout(() => process.exit(7), 20);
  },
};

await programs[process.argv[2] ?? ""]?.();
