// run:
// expect: ada hears: grace: hi ada
// expect: ada hears: * grace has left
/**
 * websocket_chat.ts: a chat room over WebSockets, with a page for browsers.
 *
 * A guest has two goroutines: one receives, one sends what stands in the guest's channel. The room is a
 * goroutine, too: whatever happens goes through its channel, so there is one order of events, and nobody
 * needs a lock. A guest that does not keep up is shown out; the others never wait for it.
 *
 *   node dist/examples/websocket_chat.js                shows itself with two guests, and ends
 *   node dist/examples/websocket_chat.js --port 8080    opens the room: http://127.0.0.1:8080/
 */
import { once } from "node:events";
import { parseArgs } from "node:util";
import { afterFunc, Chan, go } from "coronet";
import { dialWebSocket, Response, serve, upgradeWebSocket, type WebSocketConn } from "coronet/http";

const MOST_UNHEARD = 100;

const { values } = parseArgs({ options: { port: { type: "string", default: "0" } } });

interface Guest {
  name: string;
  socket: WebSocketConn;
  /** What is still to be told it. */
  lines: Chan<string>;
}

type Happening = { guest: Guest } & ({ says: string } | { comes: true } | { leaves: true });

const happenings = new Chan<Happening>();

async function room() {
  const guests = new Set<Guest>();
  for await (const happening of happenings) {
    const { guest } = happening;
    if ("comes" in happening) guests.add(guest);
    if ("leaves" in happening) {
      guests.delete(guest);
      guest.lines.close();
    }
    const line = lineOf(happening);
    for (const other of guests) {
      if (other === guest || other.lines.trySend(line)) continue;
      // Its receiver ends now, and says that it leaves.
      go(() => other.socket.close(1008, "too slow"));
    }
  }
}

function lineOf(happening: Happening): string {
  const { name } = happening.guest;
  if ("says" in happening) return `${name}: ${happening.says}`;
  return "comes" in happening ? `* ${name} has come` : `* ${name} has left`;
}

async function tell({ socket, lines }: Guest) {
  for await (const line of lines) await socket.send(line);
}

const PAGE = `<!doctype html><meta charset="utf-8"><title>chat</title>
<ul id="lines"></ul><form><input id="says" autofocus></form>
<script>
const socket = new WebSocket("ws://" + location.host + "/chat?name=" + prompt("your name?"));
const show = (line) => { lines.append(Object.assign(document.createElement("li"), { textContent: line })); };
socket.onmessage = ({ data }) => show(data);
socket.onclose = ({ code, reason }) => show("* closed: " + code + " " + reason);
document.forms[0].onsubmit = () => { socket.send(says.value); show(says.value); says.value = ""; return false; };
</script>`;

go(room);
await using server = await serve(`127.0.0.1:${values.port}`, async (request, info) => {
  const { pathname, searchParams } = new URL(request.url);
  if (pathname !== "/chat") return new Response(PAGE, { headers: { "content-type": "text/html" } });
  // Browsers open WebSockets from the pages of anybody.
  const origin = request.headers.get("origin");
  if (origin !== null && new URL(origin).host !== request.headers.get("host")) {
    return new Response("not from there\n", { status: 403 });
  }
  await using socket = await upgradeWebSocket(request, info, { maxPayload: 1_000 });
  afterFunc(info.context, () => void socket.close(1001, "the room closes"));
  const lines = new Chan<string>(MOST_UNHEARD);
  const guest: Guest = { name: searchParams.get("name") ?? "somebody", socket, lines };
  await happenings.send({ guest, comes: true });
  try {
    go(tell, guest);
    for await (const message of socket) await happenings.send({ guest, says: String(message) });
  } finally {
    await happenings.send({ guest, leaves: true });
  }
  return undefined;
});

if (values.port !== "0") {
  console.log(`the room is open: http://${server.addr}/`);
  await once(process, "SIGINT");
} else {
  await visit(`ws://${server.addr}/chat`);
}
happenings.close();

async function visit(url: string) {
  await using ada = await dialWebSocket(`${url}?name=ada`);
  const grace = await dialWebSocket(`${url}?name=grace`);
  console.log(`ada hears: ${await ada.receive()}`);
  await grace.send("hi ada");
  console.log(`ada hears: ${await ada.receive()}`);
  await ada.send("hi grace");
  console.log(`grace hears: ${await grace.receive()}`);
  await grace.close();
  console.log(`ada hears: ${await ada.receive()}`);
}
