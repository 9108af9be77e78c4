// Requests that were changed at random mean the same here as to node:http, which reads them with the same
// state machine: whatever is taken here is taken there, with the same method, target and body, in the
// same order. What is refused here and taken there is stricter, which is allowed; but then nothing
// behind it is taken either.
//
//   CORONET_SEED=n               repeats a run
//   CORONET_HTTP_RANDOM=100000   how many requests; 1500 without it
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server as NodeServer } from "node:http";
import { connect } from "node:net";
import { after, before, describe, it } from "node:test";
import { Response, type Server, serve } from "../src/http/index.ts";
import { socketFolder } from "../testing/conns.ts";
import { REQUESTS } from "./http_requests.ts";

const seed = Number(process.env.CORONET_SEED) || Math.floor(Math.random() * 0x7fff_ffff);
const COUNT = Number(process.env.CORONET_HTTP_RANDOM) || 1500;

/** What requests are made of where they go wrong. */
const PIECES = [
  "\r\n",
  "\n",
  "\r",
  "\r\n\r\n",
  " ",
  "\t",
  ":",
  ",",
  ";",
  "0",
  "5",
  "ff",
  "-1",
  "\0",
  "\x7f",
  "\xff",
  "chunked",
  "Content-Length: 5\r\n",
  "Content-Length: 0\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding: gzip\r\n",
  "Connection: close\r\n",
  "Connection: keep-alive\r\n",
  "Host: b\r\n",
  "X: y\r\n",
  "0\r\n\r\n",
  "5\r\nhello\r\n",
  "HTTP/1.0",
  "HTTP/1.1",
  "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
  "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
];

/** Numbers from a seed (mulberry32). */
function numbers(from: number): (below: number) => number {
  let state = from;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const short = REQUESTS.filter(({ request }) => request.length < 1_000);
/** Every valid one stands there more often, or hardly anything would be left of what is valid. */
const seeds = short.flatMap(({ request, seen }) => Array(seen === undefined ? 1 : 8).fill(request));

function change(request: string, pick: (below: number) => number): string {
  const at = pick(request.length + 1);
  const piece = PIECES[pick(PIECES.length)] as string;
  switch (pick(5)) {
    case 0:
      return request.slice(0, at) + piece + request.slice(at);
    case 1:
      return request.slice(0, at) + request.slice(at + 1 + pick(4));
    case 2:
      return request.slice(0, at) + piece + request.slice(at + piece.length);
    case 3: {
      const other = seeds[pick(seeds.length)] as string;
      return request.slice(0, at) + other.slice(pick(other.length));
    }
    default:
      return request.slice(0, at) + String.fromCharCode(pick(256)) + request.slice(at + 1);
  }
}

/** Sends it all, ends, and waits until the server has ended, too. */
async function send(path: string, text: string): Promise<void> {
  const socket = connect(path);
  socket.on("error", () => {});
  socket.resume();
  socket.end(text, "latin1");
  await once(socket, "close");
}

describe(`requests changed at random (CORONET_SEED=${seed})`, () => {
  let folder: Awaited<ReturnType<typeof socketFolder>>;
  let ours: Server;
  let theirs: NodeServer;
  let seenHere: string[] = [];
  let seenThere: string[] = [];

  before(async () => {
    folder = await socketFolder();
    ours = await serve(folder.path("here"), async (request, info) => {
      const body = Buffer.from(await request.bytes()).toString("latin1");
      seenHere.push(`${request.method} ${info.target} ${body}`);
      return new Response("x");
    });
    theirs = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on("data", (part) => parts.push(part));
      request.on("error", () => {});
      request.on("end", () => {
        const body = Buffer.concat(parts).toString("latin1");
        seenThere.push(`${request.method} ${request.url} ${body}`);
        response.end("x");
      });
    });
    theirs.listen(folder.path("there"));
    await once(theirs, "listening");
  });

  after(async () => {
    theirs.close();
    theirs.closeAllConnections();
    await ours.close();
    await folder[Symbol.asyncDispose]();
  });

  it(`mean the same as to node:http, ${COUNT} of them`, async (t) => {
    const pick = numbers(seed);
    let taken = 0;
    let stricter = 0;
    for (let i = 0; i < COUNT; i++) {
      let text = seeds[pick(seeds.length)] as string;
      if (pick(3) === 0) text += seeds[pick(seeds.length)];
      for (let changes = 1 + pick(3); changes > 0; changes--) text = change(text, pick);
      // A tunnel has no requests in it; node:http closes, without an answer, where nobody listens for one.
      if (text.includes("CONNECT")) continue;
      seenHere = [];
      seenThere = [];
      await Promise.all([send(folder.path("here"), text), send(folder.path("there"), text)]);
      const agreed = seenThere.slice(0, seenHere.length);
      assert.deepEqual(seenHere, agreed, `request ${i}: ${JSON.stringify(text)}`);
      taken += seenHere.length;
      if (seenHere.length < seenThere.length) stricter++;
    }
    t.diagnostic(`${taken} requests were taken by both, ${stricter} inputs are refused here alone`);
    assert.ok(taken > COUNT / 10, "hardly any request was taken: the comparison says nothing");
  });
});
