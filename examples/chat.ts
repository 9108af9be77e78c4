// run: --port 0
// expect: ada hears: grace: hi ada
// expect: ada hears: * grace has left
/**
 * chat.ts: a room where everybody hears what anybody says.
 *
 * One goroutine per guest reads lines. What a guest hears is written by goroutines of its own: writes
 * to one connection queue behind each other, so a slow guest delays nobody; one that does not keep up
 * at all is shown out.
 *
 *   node dist/examples/chat.js                        shows itself with two guests, and ends
 *   node dist/examples/chat.js --serve --port 2333    opens the room; try it twice: nc 127.0.0.1 2333
 */
import { parseArgs } from "node:util";
import { type Conn, dial, go, listen } from "coronet";

const LONGEST_LINE = 1000;
const MOST_UNHEARD = 100;

const { values } = parseArgs({
  options: { port: { type: "string", default: "0" }, serve: { type: "boolean", default: false } },
});

interface Guest {
  name: string;
  conn: Conn;
  /** Lines on their way to it. */
  unheard: number;
}

const room = new Set<Guest>();

await using listener = await listen("tcp", `127.0.0.1:${values.port}`);
console.log(`listening on ${listener.addr}`);
if (values.serve) await serve();
else {
  go(serve);
  await visit();
}

async function serve() {
  for await (const conn of listener) go(welcome, conn);
}

async function welcome(conn: Conn) {
  await using _ = conn;
  await conn.write("your name?\n");
  const said = lines(conn);
  const { value: name } = await said.next();
  if (!name) return;
  const guest: Guest = { name, conn, unheard: 0 };
  room.add(guest);
  tell(`* ${name} has come`);
  try {
    for await (const line of said) tell(`${name}: ${line}`, guest);
  } finally {
    room.delete(guest);
    tell(`* ${name} has left`);
  }
}

/** Everybody hears it but who said it. */
function tell(line: string, speaker?: Guest) {
  for (const guest of room) if (guest !== speaker) go(hear, guest, line);
}

async function hear(guest: Guest, line: string) {
  // Closing the connection ends its reader, which then leaves the room.
  if (guest.unheard === MOST_UNHEARD) return guest.conn.close();
  guest.unheard++;
  await guest.conn.write(`${line}\n`);
  guest.unheard--;
}

/** The lines that arrive; ends with the stream, or when a line is too long to be one. */
async function* lines(conn: Conn) {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of conn) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) yield part.trim();
    if (rest.length > LONGEST_LINE) return;
  }
}

async function visit() {
  const ada = await enter("ada");
  const grace = await enter("grace");
  console.log(`ada hears: ${await ada.next()}`);
  await grace.conn.write("hi ada\n");
  console.log(`ada hears: ${await ada.next()}`);
  await ada.conn.write("hi grace\n");
  console.log(`grace hears: ${await grace.next()}`);
  await grace.conn.close();
  console.log(`ada hears: ${await ada.next()}`);
  await ada.conn.close();
}

async function enter(name: string) {
  const conn = await dial("tcp", String(listener.addr));
  const heard = lines(conn);
  const next = async () => (await heard.next()).value;
  await next(); // "your name?"
  await conn.write(`${name}\n`);
  await next(); // "* ada has come"
  return { conn, next };
}
