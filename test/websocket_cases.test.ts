// Every case of test/websocket_cases.ts, against our server, our client, and the server of ws: all three
// have to say the same, however the bytes come.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";
import { inflateRawSync, constants as zlib } from "node:zlib";
import { type WebSocket, WebSocketServer } from "ws";
import {
  dialWebSocket,
  type Server,
  serve,
  upgradeWebSocket,
  type WebSocketConn,
} from "../src/http/index.ts";
import { type Conn, dial, type Listener, listen } from "../src/index.ts";
import { decodeFrames, encode, type Frame, handshake } from "../testing/websocket_frames.ts";
import { cases, MAX_PAYLOAD, told, type WebSocketCase } from "./websocket_cases.ts";

/** Cases that are longer are not sent byte by byte. */
const BYTEWISE = 300;
const DEFLATE = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

const options = {
  maxPayload: MAX_PAYLOAD,
  perMessageDeflate: { serverNoContextTakeover: true, clientNoContextTakeover: true },
};

async function echo(socket: WebSocketConn): Promise<void> {
  await using _ = socket;
  for await (const message of socket) await socket.send(message);
}

/** How a case's bytes are cut. */
type Delivery = "at once" | "in frames" | "in pieces of 997" | "byte by byte";

function piecesOf(
  { frames }: WebSocketCase,
  fromClient: boolean,
  delivery: Delivery,
): Uint8Array[] {
  const parts = frames.map((frame) => encode(maskedFor(frame, fromClient), fromClient));
  if (delivery === "in frames") return parts;
  const all = Buffer.concat(parts);
  if (delivery === "at once") return [all];
  const size = delivery === "byte by byte" ? 1 : 997;
  return Array.from({ length: Math.ceil(all.length / size) }, (_, i) =>
    all.subarray(i * size, (i + 1) * size),
  );
}

/** The one case with a wrong mask is the other way round for a server. */
function maskedFor(frame: Frame, fromClient: boolean): Frame {
  return frame.masked === undefined ? frame : { ...frame, masked: !fromClient };
}

const nothing = Buffer.alloc(0);

/** Sends a case on a connection after its handshake; what comes back until its end, in words. */
async function verdict(conn: Conn, pieces: Uint8Array[], fromClient: boolean): Promise<string[]> {
  const sending = deliver(conn, pieces);
  let received: Buffer = nothing;
  let ending = false;
  for await (const chunk of conn) {
    received = Buffer.concat([received, chunk]);
    if (ending || !decodeFrames(received).some(({ opcode }) => opcode === 8)) continue;
    ending = true;
    await sending;
    await conn.closeWrite().catch(() => {});
  }
  await sending;
  const frames = decodeFrames(received);
  for (const { masked } of frames) assert.equal(masked, !fromClient);
  return frames.map(tellFrame);
}

async function deliver(conn: Conn, pieces: Uint8Array[]): Promise<void> {
  try {
    for (const piece of pieces) {
      await conn.write(piece);
      if (pieces.length > 1) await new Promise(setImmediate);
    }
  } catch {
    // Whoever refuses a frame does not have to listen to what follows.
  }
}

function tellFrame({ opcode, payload, rsv }: Required<Frame>): string {
  if (opcode === 8) {
    return `close ${payload.length === 0 ? "" : Buffer.from(payload).readUInt16BE()}`;
  }
  if (opcode === 10) return told("pong", payload);
  const whole =
    rsv === 4
      ? inflateRawSync(Buffer.concat([payload, Buffer.from([0, 0, 255, 255])]), {
          finishFlush: zlib.Z_SYNC_FLUSH,
        })
      : payload;
  return told(opcode === 1 ? "text" : "bytes", whole);
}

/** Reads a head that is followed by nothing. */
async function readHead(conn: Conn): Promise<string> {
  let head = "";
  for await (const chunk of conn) {
    head += Buffer.from(chunk).toString("latin1");
    if (head.endsWith("\r\n\r\n")) return head;
  }
  throw new Error(`no head: ${head}`);
}

async function askServer(
  address: string,
  each: WebSocketCase,
  delivery: Delivery,
): Promise<string[]> {
  await using conn = await dial("tcp", address);
  const extensions = each.deflate ? [`Sec-WebSocket-Extensions: ${DEFLATE}`] : [];
  await conn.write(handshake(...extensions));
  const head = await readHead(conn);
  assert.match(head, /^HTTP\/1\.1 101 /);
  assert.equal(head.toLowerCase().includes("permessage-deflate"), each.deflate === true);
  return await verdict(conn, piecesOf(each, true, delivery), true);
}

async function askClient(
  listener: Listener,
  each: WebSocketCase,
  delivery: Delivery,
): Promise<string[]> {
  const url = `ws://${listener.addr}/`;
  const perMessageDeflate = each.deflate === true ? options.perMessageDeflate : false;
  const client = dialWebSocket(url, { ...options, perMessageDeflate }).then(echo);
  // Its own end is told by what it sends.
  const ended = client.catch(() => {});
  await using conn = await listener.accept();
  const { createHash } = await import("node:crypto");
  const [, key] = /Sec-WebSocket-Key: (.*)\r\n/.exec(await readHead(conn)) ?? [];
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
  const lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket"];
  lines.push(`Sec-WebSocket-Accept: ${accept.digest("base64")}`);
  if (each.deflate) lines.push(`Sec-WebSocket-Extensions: ${DEFLATE}`);
  await conn.write(`${lines.join("\r\n")}\r\n\r\n`);
  const said = await verdict(conn, piecesOf(each, false, delivery), false);
  await ended;
  return said;
}

function deliveriesOf(each: WebSocketCase): Delivery[] {
  const size = each.frames.reduce((sum, { payload }) => sum + payload.length + 8, 0);
  return size <= BYTEWISE
    ? ["at once", "in frames", "byte by byte"]
    : ["at once", "in frames", "in pieces of 997"];
}

/** Runs all cases, a few at a time. */
async function check(
  ask: (each: WebSocketCase, delivery: Delivery) => Promise<string[]>,
  atOnce: number,
): Promise<void> {
  const jobs = cases.flatMap((each) => deliveriesOf(each).map((delivery) => ({ each, delivery })));
  assert.ok(jobs.length > 700);
  const worker = async (): Promise<void> => {
    for (let job = jobs.pop(); job !== undefined; job = jobs.pop()) {
      const { each, delivery } = job;
      assert.deepEqual(await ask(each, delivery), each.expect, `${each.id}, ${delivery}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

describe("Autobahn's cases", () => {
  let server: Server;
  let listener: Listener;
  const plain = createServer();
  let ws: WebSocketServer;

  before(async () => {
    server = await serve("127.0.0.1:0", async (request, info) => {
      await echo(await upgradeWebSocket(request, info, options));
      return undefined;
    });
    listener = await listen("tcp", "127.0.0.1:0");
    const perMessageDeflate = { ...options.perMessageDeflate, threshold: 0 };
    ws = new WebSocketServer({ server: plain, ...options, perMessageDeflate });
    ws.on("connection", (socket: WebSocket) => {
      socket.on("error", () => {});
      socket.on("message", (message, isBinary) => socket.send(message, { binary: isBinary }));
    });
    await new Promise<void>((resolve) => plain.listen(0, "127.0.0.1", resolve));
  });

  after(async () => {
    await server.close();
    await listener.close();
    ws.close();
    plain.close();
  });

  it("hold for our server", () =>
    check((each, delivery) => askServer(String(server.addr), each, delivery), 16));

  it("hold for our client", () =>
    check((each, delivery) => askClient(listener, each, delivery), 1));

  it("hold for the server of ws", () => {
    const { port } = plain.address() as AddressInfo;
    return check((each, delivery) => askServer(`127.0.0.1:${port}`, each, delivery), 16);
  });
});
