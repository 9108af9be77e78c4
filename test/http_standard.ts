/**
 * http_standard.ts: what one can do with Headers, Request and Response, as data: each case gives the same
 * result with the classes of coronet/http and with the platform's, or stands in DIFFERENCES with a reason.
 */

/** The classes that a case is run with; it does what types would not let it do as well. */
// biome-ignore lint/suspicious/noExplicitAny: whatever a program without types may do
export type Classes = Record<"Headers" | "Request" | "Response", any>;
type Case = (classes: Classes) => unknown;

export const CASES = new Map<string, Case>();
const c = (name: string, run: Case): void => void CASES.set(name, run);

const encoder = new TextEncoder();
const stream = (...parts: string[]): ReadableStream<Uint8Array> =>
  new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(encoder.encode(part));
      controller.close();
    },
  });

// Headers
for (const [n, init] of Object.entries({
  none: undefined,
  nul: null,
  obj: { A: "1", b: 2 },
  arr: [
    ["a", "b"],
    ["a", "c"],
  ],
  bad1: [["a"]],
  bad3: [["a", "b", "c"]],
  str: "abc",
  num: 5,
  badname: { "a b": "1" },
  badval: { a: "x\ny" },
  uni: { a: "\u0100" },
  sp: { a: "  x \t" },
  sym: Object.assign(Object.create({ inherited: "1" }), { own: "2" }),
  cookie: [
    ["set-cookie", "a=1"],
    ["Set-Cookie", "b=2"],
    ["x", "1"],
  ],
  map: new Map([["q", "w"]]),
  fn: () => {},
  set: [new Set(["p", "o"])],
  undef: { a: undefined },
  empty: { "": "x" },
  url: new URLSearchParams("a=b&c=d"),
  symk: { [Symbol("z")]: "1" },
  high: { a: "é" },
  ck: [
    ["cookie", "a"],
    ["cookie", "b"],
  ],
}))
  c(`Headers ${n}`, ({ Headers }) => {
    const h = new Headers(init);
    return [[...h], [...h.keys()], [...h.values()], h.get("a"), h.has("A"), h.getSetCookie()];
  });
c("Headers append/set/delete", ({ Headers }) => {
  const h = new Headers({ b: "1", a: "2" });
  h.append("b", "3");
  h.set("A", "9");
  h.append("c", "");
  h.delete("zz");
  h.append("B", "4");
  h.set("b", "5");
  return [[...h], h.get("nope")];
});
for (const m of ["get", "has", "delete"])
  for (const a of [[], ["a b"], [""], [null], [undefined], ["é"]])
    c(
      `Headers.${m}(${JSON.stringify(a)})`,
      ({ Headers }) => new Headers({ null: "n", undefined: "u" })[m](...a) ?? null,
    );
for (const m of ["set", "append"])
  for (const a of [
    [],
    ["a"],
    ["a", "\0"],
    ["a", null],
    ["a", undefined],
    ["a", 5],
    ["a", "\r\n x \n"],
    ["", "x"],
    ["a", "a\rb"],
  ])
    c(`Headers.${m}(${JSON.stringify(a)})`, ({ Headers }) => {
      const h = new Headers();
      h[m](...a);
      return [...h];
    });
c("Headers forEach", ({ Headers }) => {
  const out: unknown[] = [];
  const h = new Headers({ a: "1", b: "2" });
  h.forEach(
    function (this: { t: number }, v: string, k: string, x: unknown) {
      out.push(v, k, x === h, this.t);
    },
    { t: 1 },
  );
  return out;
});
c("Headers forEach bad", ({ Headers }) => new Headers().forEach(5));
c("Headers iter live", ({ Headers }) => {
  const h = new Headers({ b: "1" });
  const out = [];
  for (const [k] of h) {
    out.push(k);
    if (out.length < 4) h.append(`c${out.length}`, "x");
  }
  return out;
});
c("Headers iter delete", ({ Headers }) => {
  const h = new Headers({ a: "1", b: "1", c: "2" });
  const out = [];
  for (const [k] of h) {
    out.push(k);
    h.delete("b");
  }
  return out;
});
c("Headers tag", ({ Headers }) => [
  Object.prototype.toString.call(new Headers()),
  Headers.name,
  Headers.length,
  String(new Headers().entries()),
]);
c("Headers props", ({ Headers }) =>
  [
    "append",
    "delete",
    "get",
    "has",
    "set",
    "getSetCookie",
    "forEach",
    "keys",
    "values",
    "entries",
  ].map((k) => [
    k,
    typeof Headers.prototype[k],
    Headers.prototype[k].length,
    Object.getOwnPropertyDescriptor(Headers.prototype, k)?.enumerable,
  ]),
);
c("Headers new-less", ({ Headers }) => Headers());
c("Headers of Headers", ({ Headers }) => {
  const a = new Headers([
    ["set-cookie", "a"],
    ["set-cookie", "b"],
    ["x", "1"],
  ]);
  const b = new Headers(a);
  a.set("x", "2");
  return [[...b], b.getSetCookie()];
});
// Response
const bodies: Record<string, unknown> = {
  none: undefined,
  nul: null,
  text: "hé",
  empty: "",
  bytes: Uint8Array.of(1, 2, 200),
  ab: new ArrayBuffer(3),
  dv: new DataView(new ArrayBuffer(4), 1, 2),
  usp: new URLSearchParams("a=b c"),
  blob: new Blob(["x"], { type: "a/b" }),
  blob0: new Blob(["x"]),
  num: 5,
  obj: {},
  bool: true,
};
const inits = {
  none: undefined,
  nul: null,
  s: { status: 201, statusText: "Yes" },
  h: { headers: { "x-y": "1" } },
  ct: { headers: { "content-type": "q/r" } },
  str: { status: "404" },
  s204: { status: 204 },
  s101: { status: 101 },
  s199: { status: 199 },
  s600: { status: 600 },
  nan: { status: NaN },
  frac: { status: 200.7 },
  stx: { statusText: "a\nb" },
  stu: { statusText: "\u0100" },
  hn: { headers: null },
  hu: { headers: undefined },
  st0: { status: 0 },
  s304: { status: 304 },
  s205: { status: 205 },
  prim: 5,
};
// biome-ignore lint/suspicious/noExplicitAny: a Response of either kind
const look = (r: any) => [
  r.status,
  r.statusText,
  r.ok,
  r.type,
  r.url,
  r.redirected,
  [...r.headers],
  r.body === null,
  r.bodyUsed,
];
for (const [bn] of Object.entries(bodies))
  for (const [inn, init] of Object.entries(inits))
    c(`Response ${bn} ${inn}`, async ({ Response }) => {
      const r = new Response(bodies[bn], init);
      const a = look(r);
      return [a, await r.text(), r.bodyUsed];
    });
for (const m of ["text", "json", "arrayBuffer", "blob", "bytes", "formData"])
  for (const b of ["none", "nul", "text", "empty", "bytes", "usp", "blob"])
    c(`Response.${m} ${b}`, async ({ Response }) => {
      const r = new Response(bodies[b]);
      if (!r[m]) return "n/a";
      const v = await r[m]();
      const seen =
        v instanceof ArrayBuffer
          ? [...new Uint8Array(v)]
          : v instanceof Blob
            ? [v.type, v.size, await v.text()]
            : v instanceof FormData
              ? [...v]
              : v instanceof Uint8Array
                ? [...v]
                : v;
      let again = "ok";
      try {
        await r[m]();
      } catch (e) {
        again = (e as Error).constructor.name;
      }
      return [seen, r.bodyUsed, again];
    });
c("Response.json", async ({ Response }) => [
  look(Response.json({ a: 1 })),
  look(Response.json([], { status: 201, headers: { "content-type": "x/y" } })),
  await Response.json("é").text(),
]);
for (const v of [undefined, () => {}, Symbol("x"), 1n, null])
  c(`Response.json ${String(v)}`, ({ Response }) => look(Response.json(v)));
c("Response.json 204", ({ Response }) => look(Response.json(1, { status: 204 })));
for (const [u, s] of [
  ["http://a/b", undefined],
  ["/rel", 302],
  ["http://a/é x", 301],
  ["http://a", 200],
  ["//", 302],
  ["http://a", "307"],
])
  c(`Response.redirect ${u} ${s}`, ({ Response }) => look(Response.redirect(u, s)));
c("Response.error", ({ Response }) => look(Response.error()));
c("Response clone", async ({ Response }) => {
  const r = new Response(stream("ab", "c"), { status: 202, statusText: "x", headers: { q: "1" } });
  const k = r.clone();
  return [look(k), await r.text(), await k.text()];
});
c("Response clone text", async ({ Response }) => {
  const r = new Response("abc");
  const k = r.clone();
  k.headers.set("a", "b");
  return [[...r.headers], await r.text(), await k.text()];
});
c("Response clone used", async ({ Response }) => {
  const r = new Response("abc");
  await r.text();
  return r.clone();
});
c("Response clone json", async ({ Response }) => [...Response.json(1).clone().headers]);
c("Response clone error", ({ Response }) => look(Response.error().clone()));
c("Response stream locked", ({ Response }) => {
  const s = stream("a");
  s.getReader();
  return new Response(s);
});
c("Response stream used", async ({ Response }) => {
  const s = stream("a");
  for await (const _ of s);
  return new Response(s);
});
c("Response body same", ({ Response }) => {
  const s = stream("a");
  const r = new Response(s);
  const { body } = r;
  return [body === s, r.body === body];
});
c("Response body read", async ({ Response }) => {
  const r = new Response("abc");
  const rd = r.body.getReader();
  const used0 = r.bodyUsed;
  const v = await rd.read();
  return [used0, r.bodyUsed, [...v.value], v.value.constructor.name];
});
c("Response locked text", async ({ Response }) => {
  const r = new Response("abc");
  r.body.getReader();
  return await r.text();
});
c("Response body after text", async ({ Response }) => {
  const r = new Response("abc");
  await r.text();
  return [r.body === null, r.body.locked, r.bodyUsed];
});
c("Response body read by byob", async ({ Response }) => {
  const r = new Response("abc");
  const rd = r.body.getReader({ mode: "byob" });
  const v = await rd.read(new Uint8Array(2));
  return [...v.value];
});
c(
  "Response strings in stream",
  async ({ Response }) =>
    await new Response(
      new ReadableStream({
        start(k) {
          k.enqueue("x");
          k.close();
        },
      }),
    ).text(),
);
c(
  "Response asyncgen",
  async ({ Response }) =>
    await new Response(
      (async function* () {
        yield encoder.encode("x");
      })(),
    ).text(),
);
c("Response BOM", async ({ Response }) => [
  await new Response("\ufeffabc").text(),
  await new Response(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)).text(),
  await new Response("\ufeff1").json(),
]);
c("Response surrogate", async ({ Response }) => [await new Response("\ud800").text()]);
c("Response copies bytes", async ({ Response }) => {
  const b = Uint8Array.of(1);
  const r = new Response(b);
  b[0] = 2;
  return [...new Uint8Array(await r.arrayBuffer())];
});
c("Response tag", ({ Response }) => [
  Object.prototype.toString.call(new Response()),
  Response.name,
  Response.length,
]);
c("Response set ro", ({ Response }) => {
  const r = new Response();
  r.status = 3;
});
c("Response formdata mp", async ({ Response }) => {
  const f = new FormData();
  f.append("a", "1");
  f.append("f", new File(["x"], "n.txt", { type: "t/p" }));
  const r = new Response(f);
  const ct = r.headers.get("content-type").replace(/boundary=.*/, "");
  const g = await r.formData();
  return [ct, g.get("a"), g.get("f").name, g.get("f").type, await g.get("f").text()];
});
c(
  "Response formdata wrongtype",
  async ({ Response }) =>
    await new Response("a=b", { headers: { "content-type": "text/plain" } }).formData(),
);
c(
  "Response blob type",
  async ({ Response }) =>
    (await new Response("x", { headers: { "content-type": "Text/HTML; charset=X" } }).blob()).type,
);
// Request
const RI = {
  none: undefined,
  nul: null,
  post: { method: "post", body: "x" },
  put: { method: "PUT", body: "é", headers: { a: "b" } },
  patch: { method: "patch", body: "x" },
  getbody: { body: "x" },
  headbody: { method: "HEAD", body: "" },
  trace: { method: "TRACE" },
  connect: { method: "CONNECT" },
  bad: { method: "a b" },
  empty: { method: "" },
  custom: { method: "foo" },
  getnull: { body: null },
  delb: { method: "DELETE", body: "x" },
  stream: { method: "POST", body: null, duplex: "half" },
  hdr: {
    headers: [
      ["x", "1"],
      ["x", "2"],
    ],
  },
  mode: { mode: "no-cors" },
  modenav: { mode: "navigate" },
  cache: { cache: "no-store" },
  cred: { credentials: "omit" },
  redir: { redirect: "manual" },
  badredir: { redirect: "zz" },
  ref: { referrer: "" },
  integ: { integrity: "q" },
  keep: { keepalive: true },
  sig: { signal: AbortSignal.abort() },
  badsig: { signal: 5 },
  nullsig: { signal: null },
  win: { window: 5 },
  usp: { method: "POST", body: new URLSearchParams("a=b") },
  delete: { method: "delete" },
  rp: { referrerPolicy: "origin" },
};
// biome-ignore lint/suspicious/noExplicitAny: a Request of either kind
const lookq = (r: any) => [
  r.method,
  r.url,
  [...r.headers],
  r.body === null,
  r.bodyUsed,
  r.signal instanceof AbortSignal,
  r.signal.aborted,
  r.cache,
  r.credentials,
  r.destination,
  r.integrity,
  r.keepalive,
  r.mode,
  r.redirect,
  r.referrer,
  r.referrerPolicy,
  r.duplex,
];
for (const [n, init] of Object.entries(RI))
  c(`Request ${n}`, async ({ Request }) => {
    const r = new Request("http://a/b?c#d", init);
    return [lookq(r), await r.text(), r.bodyUsed];
  });
for (const u of [
  "",
  "/x",
  "http://u:p@h/",
  "HTTP://EX.com:80/../a b",
  "ftp://a/",
  "data:,x",
  "http://[::1]/",
  "http://a:99999/",
  5,
  "http://a/#f",
])
  c(`Request url ${u}`, ({ Request }) => new Request(u).url);
c("Request of URL", ({ Request }) => new Request(new URL("http://a/b")).url);
c("Request of Request", async ({ Request }) => {
  const a = new Request("http://a/", { method: "POST", body: "x", headers: { q: "1" } });
  const b = new Request(a);
  return [lookq(b), a.bodyUsed, await b.text()];
});
c("Request of Request init", async ({ Request }) => {
  const a = new Request("http://a/", { method: "POST", body: "x", headers: { q: "1" } });
  const b = new Request(a, { method: "PUT", headers: { z: "2" }, body: "y" });
  return [lookq(b), a.bodyUsed, await b.text()];
});
c("Request of Request get", async ({ Request }) => {
  const a = new Request("http://a/", { method: "POST", body: "x" });
  const b = new Request(a, { method: "GET" });
  return lookq(b);
});
c("Request of used", async ({ Request }) => {
  const a = new Request("http://a/", { method: "POST", body: "x" });
  await a.text();
  return new Request(a).url;
});
c("Request of used newbody", async ({ Request }) => {
  const a = new Request("http://a/", { method: "POST", body: "x" });
  await a.text();
  return await new Request(a, { body: "z" }).text();
});
c("Request clone", async ({ Request }) => {
  const a = new Request("http://a/#f", { method: "POST", body: "x", headers: { q: "1" } });
  const b = a.clone();
  return [lookq(b), await a.text(), await b.text()];
});
c("Request clone aborts", async ({ Request }) => {
  const k = new AbortController();
  const a = new Request("http://a/", { signal: k.signal });
  const b = a.clone();
  k.abort();
  return [a.signal.aborted, b.signal.aborted, a.signal === k.signal];
});
c("Request stream no duplex", ({ Request }) =>
  lookq(new Request("http://a/", { method: "POST", body: stream("x") })),
);
c(
  "Request stream",
  async ({ Request }) =>
    await new Request("http://a/", { method: "POST", body: stream("x"), duplex: "half" }).text(),
);
c("Request tag", ({ Request }) => [
  Object.prototype.toString.call(new Request("http://a")),
  Request.name,
  Request.length,
]);
c("Request no args", ({ Request }) => new Request());

/** Where the platform's do something else on purpose or for its price: the beginning of a case's name. */
export const DIFFERENCES: readonly (readonly [name: string, reason: string])[] = [
  ["Headers fn", "a function's own properties are no headers"],
  ["Headers symk", "symbols are left out of a record instead of refused"],
  ["Headers tag", "entries() is a generator; the constructor names its parameter"],
  ["Headers props", "methods are those of a class: not enumerable"],
  ["Headers.get([])", "arguments are not counted: undefined is a value like others"],
  ["Headers.has([])", "arguments are not counted: undefined is a value like others"],
  ["Headers.delete([])", "arguments are not counted: undefined is a value like others"],
  ["Headers.set([])", "arguments are not counted: undefined is a value like others"],
  ['Headers.set(["a"])', "arguments are not counted: undefined is a value like others"],
  ["Headers.append([])", "arguments are not counted: undefined is a value like others"],
  ['Headers.append(["a"])', "arguments are not counted: undefined is a value like others"],
  ["Response none s101", "101 may be made; a handler cannot return it"],
  ["Response nul s101", "101 may be made; a handler cannot return it"],
  ["Response text s101", "a TypeError for the body instead of a RangeError for the status"],
  ["Response empty s101", "a TypeError for the body"],
  ["Response bytes s101", "a TypeError for the body"],
  ["Response ab s101", "a TypeError for the body"],
  ["Response dv s101", "a TypeError for the body"],
  ["Response usp s101", "a TypeError for the body"],
  ["Response blob s101", "a TypeError for the body"],
  ["Response blob0 s101", "a TypeError for the body"],
  ["Response num s101", "a TypeError for the body"],
  ["Response obj s101", "a TypeError for the body"],
  ["Response bool s101", "a TypeError for the body"],
  ["Response.redirect /rel", "a server knows no base; the client resolves it"],
  ["Response.redirect //", "a server knows no base; the client resolves it"],
  ["Response.bytes", "not in every version of Node"],
  [
    "Response body read by byob",
    "streams hand over chunks that belong to the receiver, no byte streams",
  ],
  ["Response copies bytes", "bytes are not copied: a file in memory is sent as it is"],
  ["Response tag", "the constructor names its parameters"],
  ["Response blob type", "the type is not written anew"],
  ["Request trace", "a server gets every method"],
  ["Request connect", "a server gets every method"],
  ["Request mode", "what only browsers look at is not kept"],
  ["Request cache", "what only browsers look at is not kept"],
  ["Request cred", "what only browsers look at is not kept"],
  ["Request redir", "what only browsers look at is not kept"],
  ["Request badredir", "what only browsers look at is not kept"],
  ["Request ref", "what only browsers look at is not kept"],
  ["Request integ", "what only browsers look at is not kept"],
  ["Request keep", "what only browsers look at is not kept"],
  ["Request win", "what only browsers look at is not kept"],
  ["Request rp", "what only browsers look at is not kept"],
  ["Request url http://u:p@h/", "a server may be sent such a target"],
  ["Request clone aborts", "the clone has the same signal, not one that follows it"],
  ["Request stream no duplex", "duplex is always half"],
  ["Request tag", "the constructor names its parameters"],
];
