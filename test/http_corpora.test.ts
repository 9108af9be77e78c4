// The requests of llhttp's, gunicorn's, h1spec's and Http11Probe's collections get their answers: as a whole, one
// byte at a time, and in two parts cut at every place. Beside them those of http_requests.ts, cut at every place.
//
//   CORONET_HTTP_CUTS=1   cuts at every place; without it at every seventh, beginning elsewhere in each case
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Handler, Response } from "../src/http/index.ts";
import { CORPORA, DIFFERENCES } from "./http_corpora.ts";
import { answersOf, converse } from "./http_memory.ts";
import { REQUESTS } from "./http_requests.ts";

const NEXT = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
const STEP = process.env.CORONET_HTTP_CUTS === undefined ? 7 : 1;

const tell: Handler = async (request, info) => {
  const body = Buffer.from(await request.bytes()).toString("latin1");
  return new Response(`${request.method} ${info.target} ${body}`);
};

async function answersTo(parts: readonly string[]): Promise<string[]> {
  const answers = answersOf(await converse(tell, parts));
  for (const { closes } of answers.slice(0, -1))
    assert.ok(!closes, "a response behind the last one");
  return answers.map(({ status, body }) => (status === 200 ? `200 ${body}` : `${status}`));
}

async function inTwoParts(text: string, from: number, answers: readonly string[]): Promise<void> {
  for (let at = 1 + from; at < text.length; at += STEP) {
    assert.deepEqual(await answersTo([text.slice(0, at), text.slice(at)]), answers, `cut at ${at}`);
  }
}

describe("the requests of public collections", () => {
  for (const collection of new Set(CORPORA.map(([name]) => name))) {
    const cases = CORPORA.filter(([name]) => name === collection);

    it(`of ${collection}, ${cases.length} of them, get their answers`, async () => {
      for (const [, name, request, answers] of cases) {
        assert.deepEqual(await answersTo([request + NEXT]), answers, name);
      }
    });

    it(`of ${collection} get them one byte at a time`, async () => {
      for (const [, name, request, answers] of cases) {
        assert.deepEqual(await answersTo([...request, NEXT]), answers, name);
      }
    });

    it(`of ${collection} get them in two parts`, async () => {
      for (const [index, [, name, request, answers]] of cases.entries()) {
        await inTwoParts(request + NEXT, index % STEP, answers).catch((error: Error) => {
          throw new Error(`${name}: ${error.message}`, { cause: error });
        });
      }
    });
  }

  it("are all there whose verdict differs", () => {
    const names = new Set(CORPORA.map(([collection, name]) => `${collection} ${name}`));
    for (const name of Object.keys(DIFFERENCES)) assert.ok(names.has(name), name);
  });

  it("that are invalid in gunicorn's collection are refused, but for those that are listed", () => {
    for (const [collection, name, , answers] of CORPORA) {
      if (collection !== "gunicorn" || `${collection} ${name}` in DIFFERENCES) continue;
      const refused = answers.some((answer) => /^[45]/.test(answer));
      assert.equal(refused, name.startsWith("invalid"), name);
    }
  });
});

describe("the requests of this server's own list", () => {
  it("mean the same in two parts", async () => {
    for (const [index, { name, request, status, seen }] of REQUESTS.entries()) {
      if (request.length > 2_000) continue;
      const answers = seen === undefined ? [`${status}`] : [`200 ${seen}`, "200 GET /next "];
      await inTwoParts(request + NEXT, index % STEP, answers).catch((error: Error) => {
        throw new Error(`${name}: ${error.message}`, { cause: error });
      });
    }
  });
});
