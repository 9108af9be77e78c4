// Frames made at random mean the same to our server and to the server of ws: the same messages come back,
// the same pongs, and the same close code, however the bytes are cut.
//
//   CORONET_SEED=n                   repeats a run
//   CORONET_WEBSOCKET_RANDOM=100000  how many streams of frames; 300 without it
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";
import { deflateRawSync, constants as zlib } from "node:zlib";
import { WebSocketServer } from "ws";
import { type Server, serve, upgradeWebSocket } from "../src/http/index.ts";
import { Decoder, type Message } from "../src/http/websocket/decoder.ts";
import { closeCodeOf } from "../src/http/websocket/errors.ts";
import { dial, type NetError } from "../src/index.ts";
import { Random } from "../src/internal/random.ts";
import { decodeFrames, encode, type Frame, handshake } from "../testing/websocket_frames.ts";

const seed = Number(process.env.CORONET_SEED) || Math.floor(Math.random() * 0x7fff_ffff);
const COUNT = Number(process.env.CORONET_WEBSOCKET_RANDOM) || 300;
const AT_ONCE = 8;
const MAX_PAYLOAD = 20_000;
/** No frame is begun with these bytes, and none that may be so long goes on behind them. */
const END = Buffer.alloc(MAX_PAYLOAD + 14, 0xff);

const options = {
  maxPayload: MAX_PAYLOAD,
  perMessageDeflate: {
    threshold: 1e9,
    serverNoContextTakeover: true,
    clientNoContextTakeover: true,
  },
};

const TEXTS = ["", "a", "hello", "é", "€😀", "\u0000", "*".repeat(126), "é".repeat(5_000)];

function payload(random: Random): Buffer {
  if (random.chance(0.1))
    return Buffer.from([0xff, 0xfe, random.below(256)].slice(random.below(3)));
  if (random.chance(0.03)) return Buffer.alloc(random.below(25_000), 97);
  const text = Buffer.from(TEXTS[random.below(TEXTS.length)] as string);
  return random.chance(0.1) ? text.subarray(random.below(text.length + 1)) : text;
}

function closing(random: Random): Frame {
  const codes = [1000, 1001, 1003, 1011, 3000, 4999, 1005, 1006, 999, 5000, 0];
  const code = codes[random.below(codes.length)] as number;
  const reason = random.chance(0.5) ? Buffer.alloc(0) : payload(random).subarray(0, 124);
  return { opcode: 8, payload: Buffer.concat([Buffer.from([code >> 8, code & 255]), reason]) };
}

function squeezed(bytes: Buffer): Buffer {
  const whole = deflateRawSync(bytes, { finishFlush: zlib.Z_SYNC_FLUSH });
  return whole.subarray(0, whole.length - 4);
}

/** A message in one frame or several, with control frames between. */
function message(random: Random): Frame[] {
  const compressed = random.chance(0.2);
  const plain = payload(random);
  const bytes = compressed ? squeezed(plain) : plain;
  const opcode = 1 + random.below(2);
  const rsv = compressed ? 4 : 0;
  if (random.chance(0.6)) return [{ opcode, payload: bytes, rsv }];
  const frames: Frame[] = [];
  const parts = 1 + random.below(4);
  for (let i = 0; i <= parts; i++) {
    const from = Math.floor((bytes.length * i) / (parts + 1));
    const to = Math.floor((bytes.length * (i + 1)) / (parts + 1));
    const first = i === 0;
    frames.push({
      opcode: first ? opcode : 0,
      payload: bytes.subarray(from, to),
      rsv: first ? rsv : 0,
      fin: i === parts,
    });
    if (random.chance(0.2)) frames.push(control(random));
  }
  return frames;
}

function control(random: Random): Frame {
  return { opcode: 9 + random.below(2), payload: payload(random).subarray(0, 125) };
}

/** One thing of a frame that is as it must not be. */
function spoil(random: Random, frame: Frame, fromClient: boolean): Frame {
  switch (random.below(6)) {
    case 0:
      return { ...frame, opcode: random.below(16) };
    case 1:
      return { ...frame, rsv: random.below(8) };
    case 2:
      return { ...frame, fin: !(frame.fin ?? true) };
    case 3:
      return { ...frame, masked: !fromClient };
    case 4:
      return { ...frame, length: frame.payload.length + random.below(200) - 100 };
    default:
      return { ...frame, length: 2 ** (16 + random.below(45)) };
  }
}

function streamOf(random: Random, fromClient = true): Buffer {
  const frames: Frame[] = [];
  for (let n = random.below(8); n >= 0; n--) {
    if (random.chance(0.15)) frames.push(control(random));
    else frames.push(...message(random));
  }
  if (random.chance(0.6)) frames.push(closing(random));
  if (random.chance(0.4)) {
    const at = random.below(frames.length);
    frames[at] = spoil(random, frames[at] as Frame, fromClient);
  }
  const bytes = Buffer.concat(
    frames.map((frame) => encode({ ...frame, length: lengthOf(frame) }, fromClient)),
  );
  const part = random.chance(0.1) ? random.below(bytes.length + 1) : bytes.length;
  return Buffer.concat([bytes.subarray(0, part), END]);
}

function lengthOf({ length, payload: { length: actual } }: Frame): number {
  return Math.max(0, length ?? actual);
}

function cut(random: Random, bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = random.chance(0.3)
      ? bytes.length
      : 1 + random.below(random.chance(0.5) ? 12 : 3000);
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

interface Verdict {
  messages: string[];
  pongs: string[];
  close: string;
}

const EXTENSION =
  "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover";

async function ask(address: string, pieces: Buffer[]): Promise<Verdict> {
  await using conn = await dial("tcp", address);
  conn.setDeadline(new Date(Date.now() + 20_000));
  await conn.write(handshake(EXTENSION));
  const sending = (async () => {
    try {
      for (const piece of pieces) {
        await conn.write(piece);
        if (pieces.length > 1) await new Promise(setImmediate);
      }
    } catch {
      // Whoever refuses a frame does not have to listen to what follows.
    }
  })();
  let bytes = Buffer.alloc(0);
  try {
    for await (const chunk of conn) bytes = Buffer.concat([bytes, chunk]);
  } catch (error) {
    // What stands behind a close frame may make the end a reset.
    if ((error as NetError).code !== "ECONNRESET") throw error;
  }
  await conn.close();
  await sending;
  const frames = decodeFrames(bytes.subarray(bytes.indexOf("\r\n\r\n") + 4));
  const told = ({ opcode, payload: data }: Required<Frame>): string =>
    `${opcode} ${Buffer.from(data).toString("hex")}`;
  const [end] = frames.filter(({ opcode }) => opcode === 8);
  return {
    messages: frames.filter(({ opcode }) => opcode < 8).map(told),
    pongs: frames.filter(({ opcode }) => opcode === 10).map(told),
    close: end === undefined ? "none" : told({ ...end, payload: end.payload.subarray(0, 2) }),
  };
}

function allOf(decoder: Decoder): unknown {
  const messages: Message[] = [];
  while (decoder.waiting > 0) messages.push(decoder.shift());
  const { closeFrame, failure, pings } = decoder;
  return { messages, closeFrame, pings, failure: failure && closeCodeOf(failure) };
}

describe(`frames made at random (CORONET_SEED=${seed})`, () => {
  let server: Server;
  const plain = createServer();
  let ws: WebSocketServer;

  before(async () => {
    server = await serve("127.0.0.1:0", async (request, info) => {
      await using socket = await upgradeWebSocket(request, info, { ...options, closeTimeout: 100 });
      for await (const each of socket) await socket.send(each);
      return undefined;
    });
    ws = new WebSocketServer({ server: plain, ...options });
    ws.on("connection", (socket) => {
      socket.on("error", () => {});
      socket.on("message", (data, isBinary) =>
        socket.send(data, { binary: isBinary, compress: false }),
      );
    });
    await new Promise<void>((resolve) => plain.listen(0, "127.0.0.1", resolve));
  });

  after(async () => {
    await server.close();
    ws.close();
    plain.close();
  });

  it(`${COUNT * 10} streams of frames mean the same however they are decoded`, () => {
    for (let number = 0; number < COUNT * 10; number++) {
      const random = new Random(seed + number * 104_729);
      const isServer = random.chance(0.8);
      const pieces = cut(random, streamOf(random, isServer));
      const whole = Buffer.concat(pieces);
      const told = pieces.map((piece) => Uint8Array.from(piece));
      const fast = new Decoder(isServer, {}, MAX_PAYLOAD);
      for (const piece of told) if (!fast.over) void fast.decode(piece);
      // ws's parser alone, given everything at once.
      const slow = new Decoder(isServer, {}, MAX_PAYLOAD);
      void slow.feed(Uint8Array.from(whole));
      const text = `stream ${number}: ${whole.toString("hex").slice(0, 400)}`;
      assert.deepEqual(allOf(fast), allOf(slow), text);
    }
  });

  it(`${COUNT} streams of frames mean the same to ws`, async () => {
    const { port } = plain.address() as AddressInfo;
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < COUNT) {
        const number = next++;
        const random = new Random(seed + number * 7919);
        const pieces = cut(random, streamOf(random));
        const [ours, theirs] = await Promise.all([
          ask(String(server.addr), pieces),
          ask(`127.0.0.1:${port}`, pieces),
        ]);
        const bytes = Buffer.concat(pieces).toString("hex").slice(0, 400);
        assert.deepEqual(ours, theirs, `stream ${number}: ${bytes}`);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  });
});
