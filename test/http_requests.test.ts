// What is malformed is refused with the right status, and nothing behind it is answered; what is not, is
// taken as it was meant. Whole, and one byte at a time.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Handler, Response, type Server, serve } from "../src/http/index.ts";
import { RawClient, type RawResponse } from "../testing/http_client.ts";
import { REQUESTS, type RequestCase } from "./http_requests.ts";

const NEXT = "GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

const tell: Handler = async (request, info) => {
  const body = await request.text();
  return new Response(`${request.method} ${info.target} ${body}`);
};

/** The responses to what `send` writes, and whether the server ended the connection by itself. */
async function exchange(
  server: Server,
  send: (client: RawClient) => Promise<void>,
): Promise<RawResponse[]> {
  await using client = await RawClient.to(server.addr);
  // The server may refuse, and close, before it has been sent everything.
  const [responses] = await Promise.all([client.responses(), send(client).catch(() => {})]);
  return responses;
}

function judge({ status, seen }: RequestCase, responses: RawResponse[]): void {
  const [first, second, ...others] = responses;
  assert.equal(first?.status, status, first?.body);
  assert.equal(others.length, 0, "more responses than requests");
  if (seen === undefined) {
    assert.equal(second, undefined, "something was parsed behind a request that was refused");
    assert.equal(first?.headers.get("connection"), "close");
  } else {
    assert.equal(first?.body, seen);
    assert.equal(second?.body, "GET /next ");
  }
}

describe("a server of HTTP", () => {
  let server: Server;
  before(async () => {
    server = await serve("127.0.0.1:0", tell);
  });
  after(() => server.close());

  for (const point of REQUESTS) {
    const verdict = point.seen === undefined ? `refuses with ${point.status}` : "takes";
    it(`${verdict}: ${point.name}`, async () => {
      const text = point.request + NEXT;
      judge(point, await exchange(server, (client) => client.send(text)));
    });
  }

  for (const point of REQUESTS.filter(({ request }) => request.length < 2_000)) {
    const verdict = point.seen === undefined ? `refuses with ${point.status}` : "takes";
    it(`${verdict} one byte at a time: ${point.name}`, async () => {
      const text = point.request + NEXT;
      const responses = await exchange(server, async (client) => {
        for (const byte of text) {
          await client.send(byte);
          await new Promise((resolve) => setImmediate(resolve));
        }
      });
      judge(point, responses);
    });
  }
});
