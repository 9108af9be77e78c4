/** What reactor threads run in tests: the first line of a connection says what its handler does. */
import {
  type ConnHandler,
  type ReactorThread,
  type SocketConn,
  sleep,
  type ThreadInfo,
  type TlsConn,
  threads,
  transfer,
} from "../../src/index.ts";

export interface Data {
  /** words[0]: hogged threads wait while it is 0. */
  words: Int32Array;
  /** What start() and stop() do: "throw" throws. */
  start?: string;
  stop?: string;
}

type Info = ThreadInfo<Data | undefined>;

async function line(conn: SocketConn): Promise<string> {
  let text = "";
  const byte = new Uint8Array(1);
  while ((await conn.read(byte)) !== null) {
    const char = String.fromCharCode(byte[0] as number);
    if (char === "\n") break;
    text += char;
  }
  return text;
}

/** Keeps this thread from doing anything until the test says so. */
function hog(info: Info): void {
  Atomics.wait((info.data as Data).words, 0, 0);
}

/** The thread after this one. */
function next(info: Info): ReactorThread {
  const all = threads();
  return all[(all.findIndex((t) => t.id === info.id) + 1) % all.length] as ReactorThread;
}

/** Echoes one chunk in part, puts the rest back, and goes on in the next thread; to the end. */
async function wander(conn: SocketConn, info: Info): Promise<void> {
  for await (const chunk of conn) {
    const part = chunk.subarray(0, Math.ceil(chunk.length * 0.7));
    await conn.write(part);
    conn.unread(chunk.subarray(part.length));
    return await transfer(conn, next(info), "wander");
  }
}

const verbs: Record<string, (conn: SocketConn, info: Info) => unknown> = {
  /** Says which thread it is. */
  who: (conn, info) => conn.write(String(info.id)),
  async echo(conn) {
    for await (const chunk of conn) await conn.write(chunk);
  },
  /** Says which thread it is, then lets that do nothing more for a while. */
  async hog(conn, info) {
    await conn.write(String(info.id));
    hog(info);
    await conn.write("woken");
  },
  /** Serves until it is told to end. */
  async drain(conn, info) {
    await conn.write("ready");
    await new Promise((resolve) => info.signal.addEventListener("abort", resolve));
    await conn.write("finished");
  },
  async forever(conn) {
    await conn.write("ready");
    await sleep(1e9);
  },
  /** Says what it knows of its connection's TLS. */
  async tls(conn) {
    const { protocol, alpnProtocol, network } = conn as unknown as TlsConn;
    await conn.write(JSON.stringify([protocol, alpnProtocol, network, String(conn.remoteAddr)]));
  },
  throw() {
    throw new Error("a defect of the handler");
  },
  exit() {
    process.exit(3);
  },
  wander,
  /** Goes on in the next thread, whatever that says to it. */
  async pass(conn, info) {
    await transfer(conn, next(info), "who");
  },
  /** Tries to go on in a thread that ends before it takes the connection; says how that failed. */
  async strand(conn, info) {
    try {
      await transfer(conn, next(info), "who");
    } catch (error) {
      await conn.write(`${(error as { code: string }).code} ${info.id}`);
    }
  },
};

const serve: ConnHandler<Data | undefined> = async (conn, info) => {
  await (verbs[await line(conn)] ?? verbs.who)?.(conn, info);
};

export default serve;

let received = 0;

export async function receive(conn: SocketConn, info: Info, message: unknown): Promise<void> {
  const verb = verbs[message as string];
  if (verb !== undefined) await verb(conn, info);
  else {
    const { id, transferred } = info;
    await conn.write(JSON.stringify({ id, from: transferred?.from, message, nth: ++received }));
  }
}

export function start(info: Info): void {
  if (info.data?.start === "throw") throw new Error("start went wrong");
}

export function stop(info: Info): void {
  if (info.data?.stop !== undefined) Atomics.add(info.data.words, 1, 1);
}
