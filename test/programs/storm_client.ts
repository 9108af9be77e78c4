/**
 * The client side of a storm of resets. "open N" opens N connections, each with one message that comes
 * back; "kill" resets them all. Each command is answered by a line.
 */
import { createInterface } from "node:readline";
import { dial, go, stats, type TCPConn } from "../../src/index.ts";

/** Connections that are being set up at the same time. */
const AT_ONCE = 200;
const address = process.argv[2] as string;
const conns: TCPConn[] = [];

async function open(): Promise<void> {
  const conn = await dial("tcp", address);
  const message = Buffer.from("a message");
  await conn.write(message);
  const reply = Buffer.alloc(message.length);
  for (let have = 0; have < reply.length; ) {
    const n = await conn.read(reply.subarray(have));
    if (n === null) throw new Error("the server closed");
    have += n;
  }
  if (!reply.equals(message)) throw new Error(`got ${reply}`);
  conns.push(conn);
}

async function openAll(count: number): Promise<void> {
  let left = count;
  const opener = async (): Promise<void> => {
    while (left-- > 0) await open();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, () => go(opener).join()));
}

async function killAll(): Promise<void> {
  for (const conn of conns.splice(0)) await conn.setLinger(0).close();
}

for await (const line of createInterface(process.stdin)) {
  const [command, count] = line.split(" ");
  if (command === "open") await openAll(Number(count));
  else await killAll();
  console.log(`${command} done, ${stats().open} open`);
}
