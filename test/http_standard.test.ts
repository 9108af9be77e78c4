/**
 * http_standard.test.ts: Headers, Request and Response behave as the platform's (fetch.spec.whatwg.org, as
 * undici has it), but for what http_standard.ts lists with a reason.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import * as ours from "../src/http/index.ts";
import { CASES, type Classes, DIFFERENCES } from "./http_standard.ts";

const theirs: Classes = { Headers, Request, Response };
const seed = Number(process.env.CORONET_SEED) || Math.floor(Math.random() * 0x7fff_ffff);
const runs = Number(process.env.CORONET_FUZZ) || 1000;

/** What comes of it, as text. */
async function outcome(run: (classes: Classes) => unknown, classes: Classes): Promise<string> {
  try {
    return JSON.stringify(await run(classes)) ?? "undefined";
  } catch (error) {
    return `throws ${(error as Error).constructor.name}`;
  }
}

describe("the standard's classes", () => {
  for (const [name, run] of CASES) {
    const [, reason] = DIFFERENCES.find(([start]) => name.startsWith(start)) ?? [];
    test(reason === undefined ? name : `${name}: ${reason}`, async () => {
      const [a, b] = [await outcome(run, ours), await outcome(run, theirs)];
      if (reason === undefined) assert.equal(a, b);
    });
  }

  test("differ where it is said that they do", async () => {
    for (const [start] of DIFFERENCES) {
      const names = [...CASES].filter(([name]) => name.startsWith(start));
      const results = names.map(async ([, run]) => {
        return (await outcome(run, ours)) !== (await outcome(run, theirs));
      });
      const differ = (await Promise.all(results)).includes(true);
      // Versions of Node differ among each other here.
      if (start !== "Response.bytes") assert.ok(differ, start);
    }
  });

  test("the platform's take ours", async () => {
    const request = new ours.Request("http://a/b", {
      method: "POST",
      body: "x",
      headers: { q: "1" },
    });
    const copy = new Request(request.url, request as never);
    assert.deepEqual([copy.method, copy.headers.get("q"), await copy.text()], ["POST", "1", "x"]);
    const response = new ours.Response("text", { status: 201, headers: { "set-cookie": "a=b" } });
    const other = new Response(response.body, response);
    assert.deepEqual([other.status, await other.text()], [201, "text"]);
    assert.deepEqual(new Headers(response.headers as never).getSetCookie(), ["a=b"]);
    assert.ok(request instanceof Request && response instanceof Response);
  });
});

const name = fc.oneof(
  fc.constantFrom("a", "A", "b", "Set-Cookie", "cookie", "content-type", "x-y", ""),
  fc.string({ maxLength: 3 }),
);
const value = fc.oneof(
  fc.constantFrom("", " x ", "a, b", "\t", "\u00e9", "x\ny", "\0"),
  fc.string({ maxLength: 6 }),
);
const pairs = fc.array(fc.tuple(name, value), { maxLength: 4 });
const operation = fc.oneof(
  fc.tuple(fc.constantFrom("append", "set"), name, value),
  fc.tuple(fc.constantFrom("delete", "get", "has"), name),
);
const body = fc.oneof(
  fc.constantFrom(undefined, null),
  fc.string({ unit: "binary", maxLength: 20 }),
  fc.uint8Array({ maxLength: 8 }),
  fc
    .array(fc.tuple(fc.string(), fc.string()), { maxLength: 3 })
    .map((all) => new URLSearchParams(all)),
);

async function same<T>(arbitrary: fc.Arbitrary<T>, run: (classes: Classes, value: T) => unknown) {
  const property = fc.asyncProperty(arbitrary, async (value) => {
    const [a, b] = await Promise.all(
      [ours, theirs].map((classes) => outcome((each) => run(each, value), classes)),
    );
    assert.equal(a, b);
  });
  await fc.assert(property, { seed, numRuns: runs });
}

describe(`with random input, seed ${seed}`, () => {
  test("headers", async () => {
    await same(
      fc.tuple(pairs, fc.array(operation, { maxLength: 8 })),
      ({ Headers }, [init, all]) => {
        const headers = new Headers(init);
        const results = all.map(([method, ...args]) => {
          try {
            return headers[method](...args) ?? null;
          } catch (error) {
            return (error as Error).constructor.name;
          }
        });
        return [results, [...headers], [...headers.keys()], headers.getSetCookie()];
      },
    );
  });

  test("headers that change while they are iterated over", async () => {
    await same(
      fc.tuple(pairs, fc.array(operation, { maxLength: 8 })),
      ({ Headers }, [init, all]) => {
        const headers = new Headers(init);
        const left = [...all];
        const seen = [];
        for (const pair of headers) {
          seen.push(pair);
          const [method, ...args] = left.shift() ?? ["get", "a"];
          try {
            headers[method](...args);
          } catch {}
          if (seen.length > 20) break;
        }
        return seen;
      },
    );
  });

  test("responses", async () => {
    const init = fc.record(
      {
        status: fc.oneof(fc.integer({ min: 190, max: 610 }), fc.constantFrom(200, 204, 304, "404")),
        statusText: value,
        headers: pairs,
      },
      { requiredKeys: [] },
    );
    const method = fc.constantFrom("text", "arrayBuffer", "json", "blob", "clone");
    await same(fc.tuple(body, init, method), async ({ Response }, [content, options, how]) => {
      const bytes = content instanceof Uint8Array ? content.slice() : content;
      const response = new Response(bytes, options);
      const { status, statusText, ok, headers } = response;
      const before = [status, statusText, ok, [...headers], response.bodyUsed];
      let result = await response[how]();
      if (how === "clone") result = [await result.text(), await response.text()];
      else if (how === "blob") result = await result.text();
      else if (how === "arrayBuffer") result = [...new Uint8Array(result)];
      return [before, result, response.bodyUsed];
    });
  });

  test("requests", async () => {
    const init = fc.record(
      {
        method: fc.constantFrom("GET", "get", "post", "PUT", "patch", "HEAD", "x y", "M-SEARCH"),
        body,
        headers: pairs,
      },
      { requiredKeys: [] },
    );
    const url = fc.oneof(
      fc.constantFrom(
        "http://a/",
        "http://A:80/../b?c#d",
        "/x",
        "https://é.com/é?é",
        "http://a:0x",
      ),
      fc.webUrl(),
    );
    await same(fc.tuple(url, init, fc.boolean()), async ({ Request }, [where, options, copied]) => {
      const first = new Request(where, options);
      const request = copied ? new Request(first, { headers: { z: "1" } }) : first;
      const { method, url: href, headers } = request;
      return [
        method,
        href,
        [...headers],
        await request.clone().text(),
        await request.text(),
        first.bodyUsed,
      ];
    });
  });
});
