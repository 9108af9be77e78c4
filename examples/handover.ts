// run:
// expect: 6 answers from 2 workers
/**
 * handover.ts: one process accepts, others serve: connections go over by descriptor.
 *
 * The acceptor reads the first line of each connection, chooses a worker by it, puts back what it
 * has read, and hands the connection on. The client notices nothing. A worker that is restarted
 * takes none of the others' connections with it.
 *
 *   node dist/examples/handover.js
 */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { type Conn, dial, go, listen, receiveConn, sendConn, type UnixConn } from "coronet";

const [, , role, name] = process.argv;
if (role === "worker") await work(name as string);
else await accept();

/** The acceptor: two workers, one channel to each. */
async function accept() {
  const name = `@coronet-handover-${process.pid}`;
  await using doors = await listen("unix", name);
  const workers = [1, 2].map(() => fork(fileURLToPath(import.meta.url), ["worker", name]));
  const channels: UnixConn[] = [];
  for (const _ of workers) channels.push(await doors.accept());

  await using listener = await listen("tcp", "127.0.0.1:0");
  go(async () => {
    for await (const conn of listener) go(handOver, conn, channels);
  });
  await visit(String(listener.addr));
  // The end of its channel is a worker's end.
  for (const channel of channels) await channel.close();
}

async function handOver(conn: Conn, channels: UnixConn[]) {
  const buffer = new Uint8Array(1024);
  let line = "";
  while (!line.includes("\n")) {
    const n = await conn.read(buffer);
    if (n === null) return conn.close();
    line += Buffer.from(buffer.subarray(0, n)).toString("latin1");
  }
  conn.unread(Buffer.from(line, "latin1"));
  const chosen = line.charCodeAt(0) % channels.length;
  await sendConn(channels[chosen] as UnixConn, conn);
}

/** A worker: serves what it is handed. */
async function work(name: string) {
  await using channel = await dial("unix", name);
  for (let conn = await receiveConn(channel); conn; conn = await receiveConn(channel)) {
    go(serve, conn);
  }
}

async function serve(conn: Conn) {
  await using _ = conn;
  for await (const chunk of conn) {
    await conn.write(`worker ${process.pid} got ${Buffer.from(chunk)}`);
  }
}

async function visit(address: string) {
  const answers: string[] = [];
  for (const key of "abcdef") {
    await using conn = await dial("tcp", address);
    await conn.write(`${key}: hello\n`);
    await conn.closeWrite();
    let answer = "";
    for await (const chunk of conn) answer += Buffer.from(chunk);
    answers.push(answer);
  }
  const workers = new Set(answers.map((answer) => /worker (\d+) got .: hello/.exec(answer)?.[1]));
  console.log(`${answers.length} answers from ${workers.size} workers`);
}
