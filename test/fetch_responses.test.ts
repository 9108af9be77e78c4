// What a client makes of responses, valid and invalid, whole and one byte at a time; and of one that is cut
// off at any byte.
//
//   CORONET_SEED=n   repeats where the connection is reset
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { settingsOf } from "../src/http/client/options.ts";
import { giveResponseParser, takeResponseParser } from "../src/http/client/parser.ts";
import { Client, FetchError } from "../src/http/index.ts";
import {
  type Conn,
  closeIdle,
  go,
  type Listener,
  listen,
  poolStats,
  TCPConn,
} from "../src/index.ts";
import { RESPONSES, type ResponseCase } from "./fetch_responses.ts";

const seed = Number(process.env.CORONET_SEED) || Math.floor(Math.random() * 0x7fff_ffff);

/** Answers every connection's first request with these bytes, and ends or resets the connection. */
class Scripted {
  readonly listener: Listener;
  answer: (conn: Conn) => Promise<void> = async () => {};

  constructor(listener: Listener) {
    this.listener = listener;
    go(async () => {
      for await (const conn of listener) go(() => this.serve(conn));
    });
  }

  get url(): string {
    return `http://${this.listener.addr}/`;
  }

  private async serve(conn: Conn): Promise<void> {
    await using _ = conn;
    let head = "";
    while (!head.includes("\r\n\r\n")) {
      const buffer = new Uint8Array(4096);
      const n = await conn.read(buffer);
      if (n === null) return;
      head += Buffer.from(buffer.subarray(0, n)).toString("latin1");
    }
    await this.answer(conn);
  }
}

interface Verdict {
  status?: number;
  body?: string;
  trailers?: Record<string, string>;
  code?: string;
}

function expected({ status, body, trailers, code }: ResponseCase): Verdict {
  if (code !== undefined) return { code };
  return { status: status as number, body: body as string, trailers: trailers ?? {} };
}

/** Given to the parser alone, one byte after the other. */
function byteByByte({ response, method = "GET" }: ResponseCase): Verdict {
  const settings = settingsOf();
  let parser = takeResponseParser(method, settings);
  const bytes = Buffer.from(response, "latin1");
  let body = "";
  let interim = 0;
  const refusedBy = (status: number): Verdict => ({
    code: status === 431 ? "ERR_RESPONSE_TOO_LARGE" : "ERR_RESPONSE_MALFORMED",
  });
  try {
    for (const byte of bytes) {
      parser.parse(Uint8Array.of(byte), 0);
      if (parser.status !== 0) return refusedBy(parser.status);
      for (const part of parser.body.splice(0)) body += Buffer.from(part).toString("latin1");
      if (!parser.done) continue;
      if (parser.code >= 200) break;
      if (parser.code === 101 || ++interim > 20) return refusedBy(400);
      giveResponseParser(parser);
      parser = takeResponseParser(method, settings);
    }
    const ended = parser.done || parser.untilClose;
    if (!ended) {
      const none = bytes.length === 0;
      return { code: none ? "ERR_UNEXPECTED_EOF" : "ERR_RESPONSE_TRUNCATED" };
    }
    const list = parser.trailers ?? [];
    const trailers: Record<string, string> = {};
    for (let i = 0; i < list.length; i += 2)
      trailers[list[i]?.toLowerCase() as string] = list[i + 1] as string;
    return { status: parser.code, body, trailers };
  } finally {
    giveResponseParser(parser);
  }
}

/** The body is whatever comes until the connection ends. */
function endsWithConnection(response: string, method: string): boolean {
  const parser = takeResponseParser(method, settingsOf());
  parser.parse(Buffer.from(response, "latin1"), 0);
  const { untilClose } = parser;
  giveResponseParser(parser);
  return untilClose;
}

async function fetched(client: Client, url: string, method: string): Promise<Verdict> {
  try {
    const response = await client.fetch(url, { method });
    const body = Buffer.from(await response.bytes()).toString("latin1");
    const { trailers } = response as unknown as { trailers: Headers };
    return { status: response.status, body, trailers: Object.fromEntries(trailers) };
  } catch (error) {
    if (!(error instanceof FetchError)) throw error;
    return { code: error.code };
  }
}

describe("responses as data", () => {
  let server: Scripted;
  let client: Client;

  before(async () => {
    server = new Scripted(await listen("tcp", "127.0.0.1:0"));
    client = new Client({ timeouts: { head: 5_000, body: 5_000 } });
  });

  after(async () => {
    client.closeIdle();
    await server.listener.close();
  });

  for (const each of RESPONSES) {
    it(`${each.code === undefined ? "taken" : "refused"}: ${each.name}`, async () => {
      assert.deepEqual(byteByByte(each), expected(each), "one byte at a time");
      const bytes = Buffer.from(each.response, "latin1");
      server.answer = async (conn) => {
        await conn.write(bytes);
        await conn.closeWrite();
      };
      const { method = "GET" } = each;
      assert.deepEqual(await fetched(client, server.url, method), expected(each), "whole");
    });
  }

  it("keeps exactly those connections that a next request may use", async () => {
    for (const { name, response, method = "GET", code, reusable = false } of RESPONSES) {
      const own = new Client();
      const done = new AbortController();
      server.answer = async (conn) => {
        await conn.write(Buffer.from(response, "latin1"));
        // Whoever waits for the end is told; otherwise it is the client who has to close.
        if (code !== undefined || endsWithConnection(response, method)) await conn.closeWrite();
        await conn.read(new Uint8Array(1), { signal: done.signal }).catch(() => null);
      };
      await fetched(own, server.url, method);
      const kept = own.closeIdle() === 1;
      done.abort();
      assert.equal(kept, reusable && code === undefined, name);
    }
  });

  it("takes a response that is cut off or reset at any byte for what it is, seed", async (t) => {
    t.diagnostic(`CORONET_SEED=${seed}`);
    let state = seed;
    const random = (below: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      return (state >>> 8) % below;
    };
    const whole = [
      "HTTP/1.1 200 OK\r\nContent-Length: 11\r\nX: y\r\n\r\nhello world",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nT: u\r\n\r\n",
    ];
    for (const response of whole) {
      for (let at = 0; at < response.length; at++) {
        const resets = random(2) === 1;
        server.answer = async (conn) => {
          if (at > 0) await conn.write(response.slice(0, at));
          if (resets && conn instanceof TCPConn) conn.setLinger(0);
          await conn.close();
        };
        const verdict = await fetched(client, server.url, "GET");
        assert.notEqual(verdict.code, undefined, `${at} bytes, ${resets ? "reset" : "closed"}`);
      }
    }
  });

  it("leaves nothing behind", () => {
    client.closeIdle();
    for (const { name, live } of poolStats()) assert.equal(live, 0, name);
    closeIdle();
  });
});
