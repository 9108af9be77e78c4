/**
 * http_attacks.ts: clients that mean harm to an HTTP server, each as one function.
 *
 * They know nothing of Coronet: plain sockets of node:net. `count` is how many connections (or requests, or
 * chunks) there are. Each resolves to what its connections were told, once the server is rid of them or the
 * attack has had its effect.
 */
import { connect, type Socket } from "node:net";
import { setTimeout as delay, setImmediate as nextTurn } from "node:timers/promises";

export interface Outcome {
  /** How many connections (or requests) ended with each status; "none" without a response. */
  statuses: Record<string, number>;
}

export interface Attack {
  name: string;
  run(port: number, count: number): Promise<Outcome>;
  /** For a test, and in earnest. */
  few: number;
  many: number;
}

const GET = "GET / HTTP/1.1\r\nHost: a\r\n";
const CHUNKED = "POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

/** A connection and what came back on it. */
class Client {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  received = 0;
  first = "";
  gone = false;

  constructor(port: number) {
    this.socket = connect({ port, host: "127.0.0.1" });
    this.socket.on("error", () => {});
    this.closed = new Promise((resolve) =>
      this.socket.once("close", () => {
        this.gone = true;
        resolve();
      }),
    );
    this.socket.on("data", (chunk) => {
      this.received += chunk.length;
      if (this.first.length < 64) this.first += chunk.toString("latin1", 0, 64);
    });
  }

  get status(): string {
    return /^HTTP\/1\.1 (\d{3})/.exec(this.first)?.[1] ?? "none";
  }

  /** Writes, and waits while the server does not read. */
  async write(text: string): Promise<void> {
    if (this.gone || this.socket.write(text, "latin1")) return;
    await Promise.race([new Promise((resolve) => this.socket.once("drain", resolve)), this.closed]);
  }

  /**
   * Writes the same again and again until the server has had enough. It looks for an answer behind each
   * write: while the kernel takes everything at once, libuv would not poll, and the first that the client
   * learned would be the reset of a server whose patience had ended, with the status still unread.
   */
  async flood(text: string, times: number): Promise<void> {
    for (let i = 0; i < times && !this.gone; i++) {
      await this.write(text);
      await nextTurn();
    }
    if (!this.gone) this.socket.end();
    await this.closed;
  }
}

function outcomeOf(clients: readonly Client[]): Outcome {
  const statuses: Record<string, number> = {};
  for (const { status } of clients) statuses[status] = (statuses[status] ?? 0) + 1;
  return { statuses };
}

/** The same on so many connections at once. */
async function onEach(
  port: number,
  count: number,
  act: (client: Client) => Promise<unknown>,
): Promise<Outcome> {
  const clients = Array.from({ length: count }, () => new Client(port));
  await Promise.all(clients.map(act));
  for (const { socket } of clients) socket.destroy();
  return outcomeOf(clients);
}

/** Something that never ends, on each connection, in pieces of about 8 KiB. */
function endless(begin: string, piece: string): Attack["run"] {
  const text = piece.repeat(Math.ceil(8192 / piece.length));
  return (port, count) =>
    onEach(port, count, async (client) => {
      await client.write(begin);
      await client.flood(text, 4096);
    });
}

/** One write, and the rest never comes: the server has to end it. */
function stalled(text: string): Attack["run"] {
  return (port, count) =>
    onEach(port, count, async (client) => {
      await client.write(text);
      await client.closed;
    });
}

/** One byte at a time, so many ms apart, until the server has had enough. */
async function slowly(port: number, count: number): Promise<Outcome> {
  const ms = Number(process.env.CORONET_ATTACK_MS ?? 10);
  return await onEach(port, count, async (client) => {
    await client.write(GET);
    for (let i = 0; !client.gone; i++) {
      client.socket.write(`X-${i}: y\r\n`[i % 5] as string);
      await Promise.race([delay(ms), client.closed]);
    }
  });
}

/** So many requests on one connection, all of them sent before the answers matter. */
async function pipelined(port: number, count: number): Promise<Outcome> {
  const client = new Client(port);
  let answers = 0;
  client.socket.on("data", (chunk) => {
    for (let at = chunk.indexOf("hello"); at !== -1; at = chunk.indexOf("hello", at + 5)) answers++;
  });
  const text = `${GET}\r\n`.repeat(100);
  for (let sent = 0; sent < count; sent += 100) await client.write(text);
  client.socket.end();
  await client.closed;
  return { statuses: { [client.status]: answers } };
}

/** Asks for as much as it can and reads nothing. */
async function unread(port: number, count: number): Promise<Outcome> {
  return await onEach(port, count, async (client) => {
    client.socket.pause();
    await client.write("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
    await delay(500);
  });
}

/** Pipelines requests and reads nothing: at some point the server must stop reading as well. */
async function pipelinedUnread(port: number, count: number): Promise<Outcome> {
  return await onEach(port, count, async (client) => {
    client.socket.pause();
    const text = `${GET}\r\n`.repeat(1000);
    for (let i = 0; i < 200 && !client.socket.writableNeedDrain; i++) client.socket.write(text);
    await delay(500);
  });
}

/** A reset as soon as the response has begun. */
async function resets(port: number, count: number): Promise<Outcome> {
  return await onEach(port, count, async (client) => {
    await client.write("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    await Promise.race([
      new Promise((resolve) => client.socket.once("data", resolve)),
      client.closed,
    ]);
    client.socket.resetAndDestroy();
    await client.closed;
  });
}

/** Bytes in small pieces that are a body, each with its own framing or its own packet. */
async function tiny(port: number, count: number): Promise<Outcome> {
  const client = new Client(port);
  await client.write(CHUNKED);
  const text = "1\r\nx\r\n".repeat(1000);
  for (let sent = 0; sent < count && !client.gone; sent += 1000) await client.write(text);
  await client.write("0\r\n\r\n");
  client.socket.end();
  await client.closed;
  return outcomeOf([client]);
}

function once(text: string): Attack["run"] {
  return (port, count) =>
    onEach(port, count, async (client) => {
      await client.write(text);
      client.socket.end();
      await client.closed;
    });
}

const UPGRADE = `${GET}Connection: Upgrade\r\nUpgrade: nothing\r\n\r\n`;
const CONNECT = "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n";
const EXPECT =
  "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
const LONGER = "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";

export const ATTACKS: readonly Attack[] = [
  { name: "heads that come a byte at a time", run: slowly, few: 100, many: 1000 },
  { name: "headers without end", run: endless(GET, "X: y\r\n"), few: 20, many: 1000 },
  { name: "chunk extensions without end", run: endless(`${CHUNKED}5;`, "a"), few: 20, many: 1000 },
  {
    name: "trailers without end",
    run: endless(`${CHUNKED}0\r\n`, "X: y\r\n"),
    few: 20,
    many: 1000,
  },
  { name: "pipelined requests on one connection", run: pipelined, few: 10_000, many: 100_000 },
  { name: "pipelined requests, answers unread", run: pipelinedUnread, few: 5, many: 100 },
  { name: "bodies longer than declared", run: endless(LONGER, "x"), few: 20, many: 1000 },
  { name: "resets in mid-response", run: resets, few: 50, many: 1000 },
  { name: "responses that nobody reads", run: unread, few: 20, many: 1000 },
  { name: "connections without a request", run: stalled(""), few: 300, many: 10_000 },
  { name: "chunks of one byte", run: tiny, few: 50_000, many: 1_000_000 },
  { name: "upgrades that nobody takes up", run: once(UPGRADE.repeat(20)), few: 20, many: 1000 },
  { name: "tunnels that nobody takes up", run: once(CONNECT), few: 50, many: 1000 },
  { name: "expectations without a body", run: stalled(EXPECT), few: 20, many: 1000 },
];
