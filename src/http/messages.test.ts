// Headers, Request and Response by themselves: what the Fetch standard says of them.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Headers } from "./headers.ts";
import { Request, urlOf } from "./request.ts";
import { Response } from "./response.ts";

describe("Headers", () => {
  it("take records, pairs, other headers", () => {
    const expected = [
      ["a", "1"],
      ["b", "2"],
    ];
    assert.deepEqual([...new Headers({ B: "2", A: "1" })], expected);
    assert.deepEqual([...new Headers(expected)], expected);
    assert.deepEqual([...new Headers(new Headers({ A: "1", B: "2" }))], expected);
    assert.deepEqual([...new Headers(new globalThis.Headers({ A: "1", B: "2" }))], expected);
    assert.deepEqual([...new globalThis.Headers([...new Headers({ A: "1", B: "2" })])], expected);
    assert.deepEqual([...new Headers()], []);
    assert.throws(() => new Headers([["a"]]), TypeError);
    assert.throws(() => new Headers("a" as never), TypeError);
  });

  it("append, set, delete, in any case of letters", () => {
    const headers = new Headers({ a: "1" });
    headers.append("A", "2");
    headers.append("Set-Cookie", "x=1");
    headers.append("set-cookie", "y=2");
    assert.equal(headers.get("a"), "1, 2");
    assert.deepEqual(headers.getSetCookie(), ["x=1", "y=2"]);
    assert.deepEqual(
      [...headers],
      [
        ["a", "1, 2"],
        ["set-cookie", "x=1"],
        ["set-cookie", "y=2"],
      ],
    );
    headers.set("A", "3");
    assert.equal(headers.get("a"), "3");
    headers.delete("SET-COOKIE");
    assert.deepEqual([...headers.keys()], ["a"]);
    assert.deepEqual([...headers.values()], ["3"]);
    assert.equal(headers.has("set-cookie"), false);
    const seen: string[] = [];
    headers.forEach((value, name) => void seen.push(`${name}=${value}`));
    assert.deepEqual(seen, ["a=3"]);
  });

  it("give values without white space around them, and refuse what is none", () => {
    assert.equal(new Headers({ a: " \t1 \r\n" }).get("a"), "1");
    for (const value of ["a\rb", "a\nb", "a\0b", "€"]) {
      assert.throws(() => new Headers({ a: value }), TypeError, JSON.stringify(value));
    }
    for (const name of ["", "a b", "a:b", "ä", "a\n"]) {
      assert.throws(() => new Headers([[name, "1"]]), TypeError, JSON.stringify(name));
    }
  });

  it("of a head are found where they stand", () => {
    const text = "GET / HTTP/1.1\r\nHost: a \r\nX-Host: b\r\nhost: c";
    const spans = [16, 20, 22, 24, 26, 32, 34, 35, 37, 41, 43, 44];
    const headers = Headers.ofHead(text, spans);
    assert.equal(headers.get("HOST"), "a, c");
    assert.equal(headers.has("x-host"), true);
    assert.equal(headers.get("ost"), null);
    headers.set("host", "d");
    assert.deepEqual(
      [...headers],
      [
        ["host", "d"],
        ["x-host", "b"],
      ],
    );
    assert.ok(headers instanceof globalThis.Headers);
  });
});

describe("a request's url", () => {
  const cases: [target: string, host: string, url: string][] = [
    ["/", "a", "http://a/"],
    ["/a?b=c", "example.com:8080", "http://example.com:8080/a?b=c"],
    ["/", "example.com:80", "http://example.com/"],
    ["/", "Example.COM", "http://example.com/"],
    ["/a/./b/../c", "a.com", "http://a.com/a/c"],
    ["/a/%2e%2e/c", "a.com", "http://a.com/c"],
    ["/.well-known/x.txt", "a.com", "http://a.com/.well-known/x.txt"],
    ["//b/c", "a.com", "http://a.com//b/c"],
    ["/a'b", "a.com", "http://a.com/a'b"],
    ["http://b.com/c", "a.com", "http://b.com/c"],
    ["*", "a.com", "http://a.com/*"],
    ["/", "127.1", "http://127.0.0.1/"],
    ["/", "[::1]:81", "http://[::1]:81/"],
    ["/", "", "http://localhost/"],
  ];
  for (const [target, host, url] of cases) {
    it(`of ${target} at ${JSON.stringify(host)} is ${url}`, () => {
      assert.equal(urlOf("GET", target, host), url);
      if (target.startsWith("/") && host !== "") {
        assert.equal(url, new URL(`http://${host}${target}`).href);
      }
    });
  }
});

describe("Request", () => {
  it("is made from an url, or from another one", async () => {
    const request = new Request("http://a/b", { method: "post", body: "x", headers: { c: "d" } });
    assert.equal(request.method, "POST");
    assert.equal(request.headers.get("content-type"), "text/plain;charset=UTF-8");
    const other = new Request(request, { headers: { e: "f" } });
    assert.deepEqual(
      [other.method, other.url, other.headers.get("c")],
      ["POST", "http://a/b", null],
    );
    assert.equal(await other.text(), "x");
    assert.throws(() => new Request("/relative"), TypeError);
    assert.throws(() => new Request("http://a", { body: "x" }), TypeError);
  });
});

describe("Response", () => {
  it("has a body that is taken once", async () => {
    const response = new Response("hello");
    assert.equal(response.bodyUsed, false);
    assert.equal(await response.text(), "hello");
    assert.equal(response.bodyUsed, true);
    await assert.rejects(response.text(), TypeError);
    const streamed = new Response("hello");
    const reader = streamed.body?.getReader();
    await assert.rejects(streamed.text(), TypeError);
    assert.equal(String(Buffer.from((await reader?.read())?.value ?? [])), "hello");
    assert.equal(streamed.bodyUsed, true);
  });

  it("is cloned with its body and its headers", async () => {
    const response = new Response(new Blob(["x"]).stream(), { status: 201, headers: { a: "1" } });
    const copy = response.clone();
    copy.headers.set("a", "2");
    assert.deepEqual(
      [response.headers.get("a"), copy.headers.get("a"), copy.status],
      ["1", "2", 201],
    );
    assert.deepEqual([await response.text(), await copy.text()], ["x", "x"]);
    assert.throws(() => response.clone(), TypeError);
  });

  it("knows JSON, redirects and failures", async () => {
    const json = Response.json({ a: 1 });
    assert.equal(json.headers.get("content-type"), "application/json");
    assert.deepEqual(await json.json(), { a: 1 });
    const typed = Response.json(1, { headers: { "Content-Type": "text/x" } });
    assert.equal(typed.headers.get("content-type"), "text/x");
    const headed = Response.json(1, { headers: { a: "b" } });
    assert.equal(headed.headers.get("content-type"), "application/json");
    assert.throws(() => Response.json(undefined), TypeError);
    const redirect = Response.redirect("http://a/");
    assert.deepEqual([redirect.status, redirect.headers.get("location")], [302, "http://a/"]);
    assert.throws(() => Response.redirect("http://a/", 200), RangeError);
    assert.equal(Response.error().type, "error");
  });

  it("refuses what is none", () => {
    for (const status of [0, 100, 199, 600, Number.NaN]) {
      assert.throws(() => new Response(null, { status }), RangeError, String(status));
    }
    assert.throws(() => new Response("x", { status: 204 }), TypeError);
  });

  it("is one for the platform, too", () => {
    const response = new Response("x");
    assert.ok(response instanceof globalThis.Response);
    assert.equal(response.ok, true);
    assert.equal(Object.prototype.toString.call(response), "[object Response]");
  });
});
