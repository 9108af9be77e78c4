// Responses that were changed at random mean the same here as to node:http's client, which reads them with
// the same state machine: whatever is taken here is taken there, with the same status, body and trailers.
// What is refused here and taken there is stricter, which is allowed.
//
//   CORONET_SEED=n                repeats a run
//   CORONET_FETCH_RANDOM=100000   how many responses; 1500 without it
import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { settingsOf } from "../src/http/client/options.ts";
import { giveResponseParser, takeResponseParser } from "../src/http/client/parser.ts";
import { Client } from "../src/http/index.ts";
import { numbers } from "../testing/support.ts";
import { RESPONSES } from "./fetch_responses.ts";

const seed = Number(process.env.CORONET_SEED) || Math.floor(Math.random() * 0x7fff_ffff);
const COUNT = Number(process.env.CORONET_FETCH_RANDOM) || 1500;

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
  "X: y\r\n",
  "0\r\n\r\n",
  "5\r\nhello\r\n",
  "HTTP/1.0",
  "HTTP/1.1",
  "HTTP/1.1 100 Continue\r\n\r\n",
  "HTTP/1.1 204 No Content\r\n\r\n",
  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
];

const STOCK = RESPONSES.filter(({ response }) => response.length < 500).map(
  (each) => each.response,
);

function mutated(random: (below: number) => number): string {
  let text = STOCK[random(STOCK.length)] as string;
  for (let times = random(4); times > 0; times--) {
    const at = random(text.length + 1);
    const piece = PIECES[random(PIECES.length)] as string;
    switch (random(4)) {
      case 0:
        text = text.slice(0, at) + piece + text.slice(at);
        break;
      case 1:
        text = text.slice(0, at) + text.slice(at + 1 + random(4));
        break;
      case 2:
        text = text.slice(0, at) + String.fromCharCode(random(256)) + text.slice(at + 1);
        break;
      default:
        text = text.slice(0, at) + text.slice(at).replace(/[^\r\n]*\r\n/, (line) => line + line);
    }
  }
  return text;
}

/** Where the final response ends: what stands behind it is an error to node:http, and nobody's here. */
function endOf(text: string): number {
  const settings = settingsOf();
  let parser = takeResponseParser("GET", settings);
  const bytes = Buffer.from(text, "latin1");
  let at = 0;
  while (at < bytes.length && !(parser.done && parser.code >= 200)) {
    if (parser.done) {
      giveResponseParser(parser);
      parser = takeResponseParser("GET", settings);
    }
    parser.parse(bytes.subarray(at, ++at), 0);
    parser.body.length = 0;
  }
  giveResponseParser(parser);
  return at;
}

describe("responses at random", () => {
  let server: Server;
  let url = "";
  let answer = "";
  const client = new Client({ decode: false });
  const sockets = new Set<Socket>();

  before(async () => {
    server = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => sockets.delete(socket));
      socket.once("data", () => socket.end(answer, "latin1"));
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  });

  after(async () => {
    client.closeIdle();
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  });

  async function toUs(): Promise<string | undefined> {
    try {
      const response = await client.fetch(url, { redirect: "manual" });
      const body = Buffer.from(await response.bytes()).toString("latin1");
      return `${response.status} ${body}`;
    } catch {
      return undefined;
    }
  }

  /** What node:http makes of it. It takes a status alone for a whole answer, and 101 is not its business. */
  function toNode(): Promise<string | undefined> {
    return new Promise((resolve) => {
      const asked = request(url, { agent: false, headers: { connection: "keep-alive" } });
      asked.on("error", () => resolve(undefined));
      asked.on("upgrade", () => resolve(undefined));
      asked.on("response", (response) => {
        const parts: Buffer[] = [];
        response.on("data", (part) => parts.push(part));
        response.on("error", () => resolve(undefined));
        response.on("end", () =>
          resolve(`${response.statusCode} ${Buffer.concat(parts).toString("latin1")}`),
        );
      });
      asked.end();
    });
  }

  it(`mean the same as to node:http, ${COUNT} of them`, { timeout: 3_600_000 }, async (t) => {
    t.diagnostic(`CORONET_SEED=${seed}`);
    const random = numbers(seed);
    let taken = 0;
    for (let i = 0; i < COUNT; i++) {
      answer = mutated(random);
      const ours = await toUs();
      if (ours === undefined) continue;
      taken++;
      const whole = answer;
      answer = whole.slice(0, endOf(whole));
      const nodes = await toNode();
      assert.equal(ours, nodes, `number ${i}, seed ${seed}: ${JSON.stringify(whole)}`);
    }
    assert.ok(taken > COUNT / 10, `${taken} were taken`);
  });
});
