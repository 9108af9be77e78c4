/**
 * The other end of a channel, which is descriptor 3. The first argument says what it does:
 *
 *   echo        serves every connection that it receives, until the channel ends
 *   send        sends one connection and exits at once
 *   accept      receives a listener and answers each connection with its number, until "stop"
 *   out of fds  receives while no descriptor is free, then again with some
 *   flood       sends more connections than may be in flight
 */
import { closeSync, openSync } from "node:fs";
import {
  adoptConn,
  type Conn,
  go,
  receiveConn,
  receiveListener,
  sendConn,
  type UnixConn,
} from "../../src/index.ts";
import { connFromFd } from "../../src/net/adopt.ts";
import { runtime } from "../../src/runtime/runtime.ts";
import { nativeKernel } from "../../src/syscall/native.ts";

const channel = adoptConn(3) as UnixConn;

async function echo(conn: Conn): Promise<void> {
  await using _ = conn;
  for await (const chunk of conn) await conn.write(chunk);
}

/** One end of a pair; the other end is there too, or closed. */
function someConn(keepOther: boolean): Conn {
  const pair = new Int32Array(2);
  const kernel = nativeKernel();
  kernel.socketpair(1, 1, pair);
  const [one, other] = pair as unknown as [number, number];
  const conn = connFromFd(runtime(), one, "unix", channel.remoteAddr);
  if (!keepOther) kernel.close(other);
  return conn;
}

async function echoAll(): Promise<void> {
  let count = 0;
  for (;;) {
    const conn = await receiveConn(channel);
    if (conn === null) break;
    count++;
    go(echo, conn);
  }
  console.log(`received ${count}`);
}

async function send(): Promise<void> {
  const conn = someConn(false);
  conn.unread(Buffer.from("left over"));
  await sendConn(channel, conn);
  process.exit(0);
}

async function accept(): Promise<void> {
  const listener = (await receiveListener(channel)) ?? process.exit(1);
  console.log("accepting");
  process.stdin.once("data", () => void listener.close());
  let count = 0;
  for await (const conn of listener) {
    count++;
    await conn.write(String(process.pid));
    await conn.close();
  }
  process.stdin.destroy();
  console.log(`accepted ${count}`);
}

async function outOfFds(): Promise<void> {
  await channel.waitReadable();
  const files: number[] = [];
  try {
    for (;;) files.push(openSync("/dev/null", "r"));
  } catch {
    // None is free now.
  }
  const error = await receiveConn(channel).then(
    () => "none",
    (reason) => reason,
  );
  // More than one: Node may want some, too.
  for (const file of files.splice(0, 5)) closeSync(file);
  const conn = await receiveConn(channel);
  await conn?.write("in step");
  for (const file of files) closeSync(file);
  console.log(error.message);
  await conn?.close();
}

async function flood(): Promise<void> {
  let sent = 0;
  try {
    for (;;) {
      await sendConn(channel, someConn(false), { signal: AbortSignal.timeout(300) });
      sent++;
    }
  } catch (error) {
    console.log(`${(error as { code: string }).code} after ${sent}`);
  }
  for (let i = 0; i < 100; i++) await sendConn(channel, someConn(false));
  console.log("sent 100 more");
}

const modes: Record<string, () => Promise<void>> = {
  echo: echoAll,
  send,
  accept,
  "out of fds": outOfFds,
  flood,
};
console.log("ready");
await modes[process.argv[2] as string]?.();
await channel.close();
