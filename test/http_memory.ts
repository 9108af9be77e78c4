// A server's side of a connection in memory, without a socket: so fast that requests can be cut at every
// place, and made up by the hundred thousand.
import { background } from "../src/context/context.ts";
import { Connection, type ConnectionOwner, type Handler } from "../src/http/connection.ts";
import { Tally } from "../src/http/observe.ts";
import { settingsOf } from "../src/http/options.ts";
import type { Conn } from "../src/net/conn.ts";
import { pipe } from "../src/net/pipe.ts";

/** One response, as far as these tests look at it. */
export interface Answer {
  status: number;
  body: string;
  closes: boolean;
}

/** Sends parts of a stream one after the other, each when the one before has been read; then the end. */
export async function converse(handler: Handler, parts: readonly string[]): Promise<string> {
  const [client, server] = pipe();
  const owner: ConnectionOwner = {
    handler,
    settings,
    context: background(),
    ending: background(),
    tally: new Tally(),
    observer: undefined,
    lastWait: 0,
    stopping: false,
    report: () => {},
    leave: () => {},
  };
  const served = new Connection(server, owner).serve();
  const [text] = await Promise.all([textOf(client), send(client, parts), served]);
  await client.close();
  return text;
}

const settings = settingsOf();

async function send(client: Conn, parts: readonly string[]): Promise<void> {
  try {
    for (const part of parts) {
      await client.write(Buffer.from(part, "latin1"));
      if (parts.length > 1) await new Promise((resolve) => setImmediate(resolve));
    }
    await client.closeWrite();
  } catch {
    // The server has refused, and closed, before it was sent everything.
  }
}

async function textOf(client: Conn): Promise<string> {
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of client) chunks.push(chunk);
  } catch {
    // Broken off.
  }
  return Buffer.concat(chunks).toString("latin1");
}

const HEAD = /^HTTP\/1\.1 (\d{3}) [^\r]*((?:\r\n[^\r\n]+)*)\r\n\r\n/;

/** Takes responses apart. Those to HEAD have a length and no body: the next one begins at once. */
export function answersOf(text: string): Answer[] {
  const answers: Answer[] = [];
  for (let rest = text; rest !== ""; ) {
    const [head, status, fields] = HEAD.exec(rest) ?? [];
    if (head === undefined) throw new Error(`no response: ${JSON.stringify(rest.slice(0, 100))}`);
    rest = rest.slice(head.length);
    const length = Number(/^content-length: (\d+)$/m.exec(fields as string)?.[1] ?? 0);
    const size = rest.startsWith("HTTP/1.1 ") ? 0 : length;
    const closes = /^connection: close$/m.test(fields as string);
    if (status !== "100")
      answers.push({ status: Number(status), body: rest.slice(0, size), closes });
    rest = rest.slice(size);
  }
  return answers;
}
