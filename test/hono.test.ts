/** hono.test.ts: an app of Hono on serve: it takes our Request, and serve takes its Response. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { Hono } from "hono";
import { compress } from "hono/compress";
import { getCookie, setCookie } from "hono/cookie";
import { cors } from "hono/cors";
import { etag } from "hono/etag";
import { HTTPException } from "hono/http-exception";
import { logger } from "hono/logger";
import { stream, streamSSE, streamText } from "hono/streaming";
import { type Request, type RequestInfo, serve } from "../src/http/index.ts";
import { withLeakCheck } from "../testing/leaks.ts";

interface Bindings {
  /** What serve gives beside the request: the handler's second argument. */
  info: RequestInfo;
}

/** Serves an app for one test; `ask` is a client that leaves no connection behind. */
async function withApp(
  app: Hono<{ Bindings: Bindings }>,
  body: (ask: (path: string, init?: RequestInit) => Promise<Response>) => Promise<void>,
): Promise<void> {
  await using server = await serve("127.0.0.1:0", (request, info) => app.fetch(request, { info }));
  await body((path, init) =>
    fetch(`http://${server.addr}${path}`, {
      redirect: "manual",
      ...init,
      headers: { connection: "close", ...init?.headers },
    }),
  );
}

function test(
  name: string,
  set: (app: Hono<{ Bindings: Bindings }>) => void,
  body: (ask: (path: string, init?: RequestInit) => Promise<Response>) => Promise<void>,
): void {
  it(name, (t) => {
    const app = new Hono<{ Bindings: Bindings }>();
    set(app);
    return withLeakCheck(t as TestContext, () => withApp(app, body));
  });
}

describe("Hono on serve", () => {
  test(
    "routes, with parameters, queries, methods, groups and 404",
    (app) => {
      const group = new Hono().get("/deep/:id{[0-9]+}", (c) => c.text(c.req.param("id")));
      app.get("/", (c) => c.text("hello"));
      app.get("/user/:name", (c) => c.json({ name: c.req.param("name"), q: c.req.query("q") }));
      app.put("/user/:name", (c) => c.body(null, 204));
      app.on("PURGE", "/cache", (c) => c.text(c.req.method));
      app.route("/group", group);
      app.notFound((c) => c.text(`nothing at ${c.req.path}`, 404));
    },
    async (ask) => {
      const hello = await ask("/");
      assert.equal(await hello.text(), "hello");
      // A text is sent with its length, though the platform makes a stream of it.
      assert.equal(hello.headers.get("content-length"), "5");
      const user = await ask("/user/j%C3%B6rg?q=a%20b");
      assert.deepEqual(await user.json(), { name: "jörg", q: "a b" });
      assert.equal((await ask("/user/x", { method: "PUT" })).status, 204);
      assert.equal(await (await ask("/cache", { method: "PURGE" })).text(), "PURGE");
      assert.equal(await (await ask("/group/deep/42")).text(), "42");
      const missing = await ask("/group/deep/x");
      assert.deepEqual([missing.status, await missing.text()], [404, "nothing at /group/deep/x"]);
      const head = await ask("/", { method: "HEAD" });
      assert.deepEqual([head.status, head.headers.get("content-length")], [200, null]);
    },
  );

  test(
    "reads bodies: json, text, forms, files, bytes, twice, and as a clone",
    (app) => {
      app.post("/json", async (c) => c.json([await c.req.json(), await c.req.text()]));
      app.post("/form", async (c) => {
        const { a, file } = await c.req.parseBody();
        const content = file instanceof File ? `${file.name}:${await file.text()}` : null;
        return c.json({ a, content });
      });
      app.post("/bytes", async (c) => {
        const buffer = await c.req.arrayBuffer();
        const blob = await c.req.blob();
        return c.json([[...new Uint8Array(buffer)], blob.size, blob.type]);
      });
      app.post("/clone", async (c) => {
        const copy = c.req.raw.clone();
        return c.text(`${await copy.text()} ${await c.req.raw.text()}`);
      });
      app.post("/form-data", async (c) => c.text(String((await c.req.raw.formData()).get("a"))));
      app.post("/stream", (c) => c.body(c.req.raw.body as never));
    },
    async (ask) => {
      const post = (path: string, body: NonNullable<RequestInit["body"]>, headers = {}) =>
        ask(path, { method: "POST", body, headers });
      assert.deepEqual(await (await post("/json", '{"a":1}')).json(), [{ a: 1 }, '{"a":1}']);
      assert.deepEqual(await (await post("/form", new URLSearchParams("a=1"))).json(), {
        a: "1",
        content: null,
      });
      const form = new FormData();
      form.set("a", "é");
      form.set("file", new File(["inside"], "n.txt"));
      assert.deepEqual(await (await post("/form", form)).json(), {
        a: "é",
        content: "n.txt:inside",
      });
      assert.equal(await (await post("/form-data", form)).text(), "é");
      const bytes = await post("/bytes", Uint8Array.of(1, 2, 255), { "content-type": "a/b" });
      assert.deepEqual(await bytes.json(), [[1, 2, 255], 3, "a/b"]);
      assert.equal(await (await post("/clone", "both")).text(), "both both");
      const large = "x".repeat(300_000);
      assert.equal(await (await post("/stream", large)).text(), large);
    },
  );

  test(
    "runs middleware: cookies, cors, etag, compress, logger, and its own",
    (app) => {
      const lines: string[] = [];
      app.use(
        logger((line) => lines.push(line)),
        cors(),
      );
      app.use("/etag", etag());
      app.use("/zip", compress());
      app.use(async (c, next) => {
        await next();
        c.header("x-after", `${c.res.status}`);
        c.header("x-logged", String(lines.length));
      });
      app.get("/cookie", (c) => {
        setCookie(c, "a", "1", { httpOnly: true });
        setCookie(c, "b", "2");
        return c.text(getCookie(c, "given") ?? "none");
      });
      app.get("/etag", (c) => c.text("tagged"));
      app.get("/zip", (c) => c.text("z".repeat(5000)));
      app.get("/replaced", (c) => {
        c.res = new Response("other", c.text("one", 201));
        return c.res;
      });
    },
    async (ask) => {
      const cookie = await ask("/cookie", { headers: { cookie: "x=0; given=yes" } });
      assert.deepEqual(cookie.headers.getSetCookie(), ["a=1; Path=/; HttpOnly", "b=2; Path=/"]);
      assert.equal(cookie.headers.get("access-control-allow-origin"), "*");
      assert.equal(cookie.headers.get("x-after"), "200");
      assert.equal(await cookie.text(), "yes");
      const tagged = await ask("/etag");
      const tag = tagged.headers.get("etag") as string;
      assert.equal(await tagged.text(), "tagged");
      assert.equal((await ask("/etag", { headers: { "if-none-match": tag } })).status, 304);
      const zipped = await ask("/zip", { headers: { "accept-encoding": "gzip" } });
      assert.equal(zipped.headers.get("content-encoding"), "gzip");
      assert.equal((await zipped.text()).length, 5000);
      const replaced = await ask("/replaced");
      assert.deepEqual([replaced.status, await replaced.text()], [201, "other"]);
      assert.equal((await ask("/cookie", { method: "OPTIONS" })).status, 204);
    },
  );

  test(
    "streams, as text, as events and as bytes",
    (app) => {
      app.get("/text", (c) =>
        streamText(c, async (out) => {
          for (const part of ["a", "b", "c"]) {
            await out.write(part);
            await out.sleep(2);
          }
        }),
      );
      app.get("/events", (c) =>
        streamSSE(c, async (out) => {
          await out.writeSSE({ event: "tick", data: "1", id: "7" });
        }),
      );
      app.get("/bytes", (c) => stream(c, (out) => out.pipe(new Blob(["piped"]).stream() as never)));
    },
    async (ask) => {
      assert.equal(await (await ask("/text")).text(), "abc");
      const events = await ask("/events");
      assert.equal(events.headers.get("content-type"), "text/event-stream");
      assert.equal(await events.text(), "event: tick\ndata: 1\nid: 7\n\n");
      assert.equal(await (await ask("/bytes")).text(), "piped");
    },
  );

  test(
    "answers errors: thrown, of its own class, and from its onError",
    (app) => {
      app.get("/own", () => {
        throw new HTTPException(418, { message: "a teapot" });
      });
      app.get("/thrown", () => {
        throw new Error("a bug");
      });
      app.onError((error, c) =>
        error instanceof HTTPException
          ? error.getResponse()
          : c.json({ error: error.message }, 500),
      );
      app.get("/moved", (c) => c.redirect("/elsewhere?x=1", 301));
    },
    async (ask) => {
      const own = await ask("/own");
      assert.deepEqual([own.status, await own.text()], [418, "a teapot"]);
      const thrown = await ask("/thrown");
      assert.deepEqual([thrown.status, await thrown.json()], [500, { error: "a bug" }]);
      const moved = await ask("/moved");
      assert.deepEqual([moved.status, moved.headers.get("location")], [301, "/elsewhere?x=1"]);
    },
  );

  test(
    "gives a mounted app a request of its own, and programs the info",
    (app) => {
      app.mount("/mounted", (request: globalThis.Request) => {
        return new Response(`${new URL(request.url).pathname} ${request.headers.get("x")}`);
      });
      app.get("/info", (c) => {
        const raw = c.req.raw as unknown as Request;
        return c.json([c.env.info.target, raw instanceof globalThis.Request, raw.signal.aborted]);
      });
    },
    async (ask) => {
      const mounted = await ask("/mounted/here", { headers: { x: "y" } });
      assert.equal(await mounted.text(), "/here y");
      assert.deepEqual(await (await ask("/info?a")).json(), ["/info?a", true, false]);
    },
  );
});
