// run:
// run: --tls
// expect: 401 without a token
// expect: 200 with one, from the app as ada
// expect: 100 requests for one page at once: 1 of them reached an app
// expect: a burst of 60 requests: 429 for some of them
// expect: both apps were asked: true
// expect: "GET /pages/1" 200
/**
 * gateway.ts: an API gateway in OpenResty's style: each request goes through phases, written one after the
 * other as straight-line code.
 *
 *   access    a sub-request asks the auth service who this is; a token bucket per user bounds the rate
 *   content   pages come from a cache, which asks an app once however many wait for the same page;
 *             everything else goes through to two apps, over connections that are kept
 *   log       a line per request
 *
 *   node dist/examples/gateway.js                                  starts an auth service and two apps, tries itself
 *   node dist/examples/gateway.js --tls                            the same over TLS, on both sides
 *   node dist/examples/gateway.js --listen :8080 --serve           stays
 *   node dist/examples/gateway.js --listen :8080 --serve \
 *        --app http://10.0.0.1:80 --app http://10.0.0.2:80 --auth http://10.0.0.3/whoami
 *   node dist/examples/gateway.js --listen :8443 --serve --cert cert.pem --key key.pem --ca apps.pem \
 *        --app https://10.0.0.1 --app https://10.0.0.2 --auth https://10.0.0.3/whoami
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { closeIdle, singleflight, sleep, Table } from "coronet";
import { fetch, type Handler, type Request, Response, reverseProxy, serve } from "coronet/http";
import { selfSigned } from "coronet/testing";

const { values } = parseArgs({
  options: {
    listen: { type: "string", default: "127.0.0.1:0" },
    serve: { type: "boolean", default: false },
    quiet: { type: "boolean", default: false },
    app: { type: "string", multiple: true },
    auth: { type: "string" },
    rate: { type: "string", default: "50" },
    burst: { type: "string", default: "50" },
    ttl: { type: "string", default: "1000" },
    tls: { type: "boolean", default: false },
    cert: { type: "string" },
    key: { type: "string" },
    ca: { type: "string" },
  },
});

/** What the gateway shows to its clients, and whom it trusts besides the usual authorities. */
interface Certificates {
  cert?: string;
  key?: string;
  ca?: string;
}

function certificates(): Certificates {
  if (values.tls) {
    // For trying it out: everybody here is localhost.
    const { cert, key } = selfSigned("localhost", "127.0.0.1");
    return { cert, key, ca: cert };
  }
  const found: Certificates = {};
  for (const name of ["cert", "key", "ca"] as const) {
    const path = values[name];
    if (path !== undefined) found[name] = readFileSync(path, "utf8");
  }
  return found;
}

const { cert, key, ca } = certificates();
const asServer = cert === undefined || key === undefined ? {} : { tls: { cert, key } };
const asClient = ca === undefined ? {} : { tls: { ca } };
/** What the servers that this program starts are asked by. */
const scheme = values.tls ? "https" : "http";
const own = values.tls ? asServer : {};

/** What each user may still do: tokens that grow with time. The table may be shared by threads. */
class Limiter {
  private readonly perMs: number;
  private readonly burst: number;
  private readonly buckets = new Table({
    rows: 65_536,
    columns: { tokens: "float64", at: "float64" },
  });

  constructor(perSecond: number, burst: number) {
    this.perMs = perSecond / 1000;
    this.burst = burst;
  }

  /** Takes a token: 0, or how many ms there will be none. */
  take(user: string): number {
    const now = Date.now();
    const { tokens = this.burst, at = now } = this.buckets.get(user) ?? {};
    const left = Math.min(this.burst, tokens + (now - at) * this.perMs) - 1;
    if (left < 0) return Math.ceil(-left / this.perMs);
    this.buckets.set(user, { tokens: left, at: now });
    return 0;
  }
}

interface Page {
  status: number;
  headers: [string, string][];
  body: Uint8Array;
  until: number;
}

/** Pages by their path. Whoever comes while one is being fetched waits for that one. */
class Cache {
  private readonly ttl: number;
  private readonly most = 1000;
  private readonly pages = new Map<string, Page>();
  private readonly flights = singleflight<string, Page>();

  constructor(ttl: number) {
    this.ttl = ttl;
  }

  async get(key: string, load: () => Promise<Response>): Promise<{ page: Page; how: string }> {
    const known = this.pages.get(key);
    if (known !== undefined && known.until > Date.now()) return { page: known, how: "HIT" };
    const { value, shared } = await this.flights.do(key, async () => this.keep(key, await load()));
    return { page: value, how: shared ? "SHARED" : "MISS" };
  }

  private async keep(key: string, response: Response): Promise<Page> {
    const body = await response.bytes();
    const headers = [...response.headers].filter(([name]) => KEPT.has(name));
    const page = { status: response.status, headers, body, until: Date.now() + this.ttl };
    // The oldest one goes first. What went wrong is told to those who wait, and not kept.
    if (this.pages.size >= this.most) this.pages.delete(this.pages.keys().next().value as string);
    if (response.status === 200) this.pages.set(key, page);
    return page;
  }
}

const KEPT = new Set(["content-type", "etag", "last-modified", "x-app"]);

interface Gateway {
  apps: readonly string[];
  auth: string;
}

/** What one request is known by, from phase to phase. */
interface Passing {
  began: number;
  user: string;
  cache: string;
}

function gateway({ apps, auth }: Gateway): Handler {
  const limiter = new Limiter(Number(values.rate), Number(values.burst));
  const cache = new Cache(Number(values.ttl));
  const proxy = reverseProxy({
    upstreams: apps,
    balance: "least-connections",
    ...asClient,
    headers: (headers) => headers.delete("authorization"),
  });

  /** Who this is; a response when he may not come in. */
  async function access(request: Request, passing: Passing): Promise<Response | undefined> {
    const authorization = request.headers.get("authorization") ?? "";
    const headers = { authorization };
    const answer = await fetch(auth, { headers, timeouts: { total: 1000 }, ...asClient });
    const user = await answer.text();
    if (answer.status !== 200) return new Response("who are you?\n", { status: 401 });
    passing.user = user;
    const wait = limiter.take(user);
    if (wait === 0) return undefined;
    const retry = { "retry-after": `${Math.ceil(wait / 1000)}` };
    return new Response("slower, please\n", { status: 429, headers: retry });
  }

  const content = async (
    request: Request,
    info: Parameters<Handler>[1],
    passing: Passing,
  ): Promise<Response | undefined> => {
    if (request.method !== "GET" || !info.target.startsWith("/pages/")) {
      request.headers.set("x-user", passing.user);
      return await proxy(request, info);
    }
    const load = async (): Promise<Response> =>
      (await proxy(request, info)) ?? new Response(null, { status: 502 });
    const { page, how } = await cache.get(info.target, load);
    passing.cache = how;
    const { status, headers, body } = page;
    if (status < 200) return await load();
    return new Response(body, { status, headers: [...headers, ["x-cache", how]] });
  };

  return async (request, info) => {
    const passing: Passing = { began: performance.now(), user: "-", cache: "-" };
    const response = (await access(request, passing)) ?? (await content(request, info, passing));
    if (!values.quiet) log(request, String(info.remoteAddr), info.target, response, passing);
    return response;
  };
}

function log(
  { method }: Request,
  from: string,
  target: string,
  response: Response | undefined,
  { began, user, cache }: Passing,
): void {
  const ms = (performance.now() - began).toFixed(1);
  console.log(`${from} ${user} "${method} ${target}" ${response?.status ?? 101} ${cache} ${ms} ms`);
}

/** An app that says who it is and how often it was asked. */
async function startApp(name: string, counts: Map<string, number>): Promise<string> {
  const handle: Handler = async (request) => {
    counts.set(name, (counts.get(name) ?? 0) + 1);
    if (request.url.includes("/pages/")) await sleep(20);
    const user = request.headers.get("x-user") ?? "everybody";
    return new Response(`for ${user}\n`, { headers: { "x-app": name } });
  };
  const server = await serve("127.0.0.1:0", handle, own);
  stops.push(() => server.close());
  return `${scheme}://${server.addr}`;
}

/** A service that knows whose token it is: "Bearer ada" is Ada's. */
async function startAuth(): Promise<string> {
  const handle: Handler = (request) => {
    const [, user] = /^Bearer (\w+)$/.exec(request.headers.get("authorization") ?? "") ?? [];
    return user === undefined ? new Response(null, { status: 403 }) : new Response(user);
  };
  const server = await serve("127.0.0.1:0", handle, own);
  stops.push(() => server.close());
  return `${scheme}://${server.addr}/`;
}

const stops: (() => Promise<void>)[] = [];
const counts = new Map<string, number>();
const asked = (): number => [...counts.values()].reduce((sum, count) => sum + count, 0);

const apps = values.app ?? [await startApp("a", counts), await startApp("b", counts)];
const auth = values.auth ?? (await startAuth());
const server = await serve(values.listen, gateway({ apps, auth }), asServer);
console.log(`listening on ${server.addr}`);

if (!values.serve) {
  const url = `${asServer.tls === undefined ? "http" : "https"}://${server.addr}`;
  const get = (path: string, user = "ada"): Promise<Response> =>
    fetch(url + path, { headers: { authorization: `Bearer ${user}` }, ...asClient });

  console.log((await fetch(url, asClient)).status, "without a token");
  const first = await get("/");
  console.log(first.status, `with one, from the app as ${(await first.text()).slice(4).trim()}`);

  const before = asked();
  const users = Array.from({ length: 100 }, (_, i) => `user${i}`);
  await Promise.all(users.map(async (user) => await (await get("/pages/1", user)).text()));
  console.log(`100 requests for one page at once: ${asked() - before} of them reached an app`);

  const burst = await Promise.all(Array.from({ length: 60 }, () => get("/", "bob")));
  const refused = burst.filter(({ status }) => status === 429).length;
  await Promise.all(burst.map((response) => response.text()));
  console.log(`a burst of 60 requests: 429 for ${refused > 0 ? "some" : "none"} of them`);
  console.log("both apps were asked:", counts.size === 2);

  closeIdle();
  await server.close();
  for (const stop of stops) await stop();
}
