/**
 * api.ts: the inspector's requests and their answers.
 *
 * Whatever changes something is a POST with a body of JSON; a page of another origin cannot send that
 * without being asked for leave, which nobody gives.
 */
import { isMainThread, threadId } from "node:worker_threads";
import { eventStream } from "../../http/events/stream.ts";
import type { Request } from "../../http/request.ts";
import { Response } from "../../http/response.ts";
import { askControl } from "../control.ts";
import { ownIds } from "../own.ts";
import {
  PROFILES,
  type ProfileKind,
  profile,
  type RemoteProfileOptions,
} from "../profile/profile.ts";
import { type AllTops, ORDERS, type Order, type Top, takeTop } from "../top.ts";
import { isTracing, trace } from "../trace/trace.ts";
import type { Access, Refusal } from "./access.ts";
import { asset, PUBLIC, SAFE } from "./assets.ts";
import { type ConnQuery, closeConn, connTable } from "./conns_view.ts";
import type { Contention } from "./contention.ts";
import { Download, type SentDownload } from "./download.ts";
import { type GoroutineQuery, goroutineDetail, goroutineTable } from "./goroutines.ts";
import type { Live } from "./live.ts";
import { objectList, waitGraph } from "./objects_view.ts";
import { askOthers, socketOf } from "./others.ts";
import { dumpText, reports } from "./reports.ts";

/** What the answers of any thread stand on. */
export interface ThreadSources {
  readonly contention: Contention;
}

/** And of the one that serves the page. */
export interface Sources extends ThreadSources {
  readonly access: Access;
  readonly live: Live;
  /** What the page's title says. */
  readonly about: object;
}

const LONGEST_PROFILE_S = 60;

export function json(value: unknown, status = 200): Response {
  const headers = { ...SAFE, "content-type": "application/json" };
  return new Response(JSON.stringify(value), { status, headers });
}

export function refuse({ status, text }: Refusal): Response {
  return json({ error: text }, status);
}

/** A request that cannot be answered; the message says why. */
class Refused extends Error {
  readonly status: number;

  constructor(status: number, text: string) {
    super(text);
    this.status = status;
  }
}

function never(status: number, text: string): never {
  throw new Refused(status, text);
}

function text(params: URLSearchParams, name: string): string | undefined {
  return params.get(name) || undefined;
}

function whole(params: URLSearchParams, name: string): number | undefined {
  const value = params.get(name);
  return value !== null && /^\d{1,9}$/.test(value) ? Number(value) : undefined;
}

function tableQuery(params: URLSearchParams): GoroutineQuery & ConnQuery {
  return {
    filter: text(params, "filter")?.slice(0, 500),
    sort: text(params, "sort"),
    desc: params.get("desc") === "1",
    group: params.get("group") === "1",
    own: params.get("own") === "1",
    offset: whole(params, "offset"),
    limit: whole(params, "limit"),
  };
}

/** "4711", of another thread than the main one "4711.2". */
const self = isMainThread ? `${process.pid}` : `${process.pid}.${threadId}`;

function profileSeconds(params: URLSearchParams): number {
  if (params.get("kind") === "goroutine") return 0;
  return Math.max(1, Math.min(whole(params, "seconds") ?? 5, LONGEST_PROFILE_S));
}

async function profileFile(params: URLSearchParams, signal: AbortSignal): Promise<Download> {
  const kind = params.get("kind") as ProfileKind;
  if (!PROFILES.includes(kind)) throw new Refused(400, `no profile "${kind}"`);
  const seconds = profileSeconds(params);
  const options: RemoteProfileOptions = { seconds, signal, referenced: false };
  const bytes = await profile(kind, seconds > 0 ? options : {});
  return new Download(bytes, "application/octet-stream", `${kind}-${self}.pprof`);
}

/** Less than `coronet top` waits for all of them. */
const TOP_MS = 3000;

/** For `coronet top`: this thread, the other ones and worker processes. */
async function topOfAll(params: URLSearchParams): Promise<AllTops> {
  const rows = whole(params, "rows");
  const order = ORDERS.find((each): each is Order => each === params.get("order"));
  const options = {
    filter: text(params, "filter")?.slice(0, 500) ?? "",
    ...(rows === undefined ? {} : { rows }),
    ...(order === undefined ? {} : { order }),
  };
  const { answers, silent } = await askOthers("top", options, TOP_MS);
  return { tops: [takeTop(options), ...(answers as Top[])], silent };
}

type Params = URLSearchParams;
type Get = (sources: Sources, params: Params, signal: AbortSignal) => unknown;

/** What a GET answers: a value that becomes JSON, a Download, or a Response. */
const GETS: Record<string, Get> = {
  about: ({ about }) => ({ ...about, tracing: isTracing() }),
  live: ({ live }, _params, signal) =>
    eventStream(live.events(signal), { signal, headers: { ...SAFE } }),
  goroutines: (_sources, params) => goroutineTable(tableQuery(params)),
  goroutine: async (_sources, params) =>
    (await goroutineDetail(whole(params, "id") ?? 0)) ?? never(404, "that goroutine has ended"),
  conns: (_sources, params) => connTable(tableQuery(params)),
  objects: ({ contention }) => ({ ...(objectList(contention) as object), graph: waitGraph() }),
  own: () => ({ goroutines: ownIds() }),
  top: (_sources, params) => topOfAll(params),
  reports: () => reports(),
  dump: async () => new Download(await dumpText(), "text/plain; charset=utf-8", "dump.txt"),
  trace: () =>
    isTracing()
      ? new Download(trace.snapshot(), "application/json", `trace-${self}.json`)
      : never(409, "nothing is being recorded"),
  profile: (_sources, params, signal) => profileFile(params, signal),
};

type Post = (sources: Sources, body: Record<string, unknown>) => unknown;

const POSTS: Record<string, Post> = {
  close: async (_sources, { id }) =>
    typeof id === "number" && (await closeConn(id))
      ? { closed: id }
      : never(404, "there is no such connection any more"),
  trace: (_sources, { record }) => {
    if (record === true && !isTracing()) trace.start();
    else if (record === false) trace.stop();
    return { tracing: isTracing() };
  },
};

const LONGEST_BODY = 10_000;

async function bodyOf(request: Request): Promise<Record<string, unknown> | Response> {
  const type = request.headers.get("content-type") ?? "";
  if (!type.startsWith("application/json")) {
    return refuse({ status: 415, text: "expected JSON" });
  }
  const body = await request.text();
  if (body.length > LONGEST_BODY) return refuse({ status: 413, text: "too long" });
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // It is no JSON.
  }
  return refuse({ status: 400, text: "expected a JSON object" });
}

async function login({ access }: Sources, request: Request): Promise<Response> {
  const body = await bodyOf(request);
  if (body instanceof Response) return body;
  if (typeof body.token !== "string" || !access.matches(body.token)) {
    return refuse({ status: 401, text: "that is not the token" });
  }
  const headers = { ...SAFE, "content-type": "application/json", "set-cookie": access.cookie };
  return new Response('{"ok":true}', { headers });
}

/** What another thread is asked: all that is its own. */
const ELSEWHERE = new Set(
  "about goroutines goroutine conns objects own reports close dump trace profile".split(" "),
);

/** A request to another thread, by its control socket. */
export interface RemoteRequest {
  name: string;
  params: string;
  body: Record<string, unknown> | undefined;
}

/** What another thread answers: a refusal is an answer too. */
interface RemoteAnswer {
  value?: unknown;
  download?: SentDownload;
  refused?: Refusal;
}

/** What one of ELSEWHERE answers here; `gone` is aborted when nobody waits for it any more. */
export async function answerRequest(
  sources: ThreadSources,
  { name, params, body }: RemoteRequest,
  gone: AbortSignal,
): Promise<RemoteAnswer> {
  const all = sources as Sources;
  try {
    if (!ELSEWHERE.has(name)) never(404, "there is no such request");
    const value =
      body !== undefined
        ? await POSTS[name]?.(all, body)
        : await GETS[name]?.(all, new URLSearchParams(params), gone);
    return value instanceof Download ? { download: value.sent() } : { value };
  } catch (error) {
    if (error instanceof Refused) return { refused: { status: error.status, text: error.message } };
    throw error;
  }
}

const REMOTE_MS = 5000;

async function askThread(
  thread: string,
  request: RemoteRequest,
  params: URLSearchParams,
  signal: AbortSignal,
): Promise<unknown> {
  const path = socketOf(thread);
  if (path === undefined) throw new Refused(404, "that thread has ended, or has no control socket");
  if (!ELSEWHERE.has(request.name)) throw new Refused(404, "that is not asked of other threads");
  const longer = request.name === "profile" ? profileSeconds(params) * 1000 : 0;
  const options = { patience: REMOTE_MS + longer, referenced: false, signal };
  let answer: RemoteAnswer;
  try {
    answer = (await askControl(path, "inspect", request, options)) as RemoteAnswer;
  } catch (error) {
    throw new Refused(502, (error as Error).message.replace(`${path}: `, ""));
  }
  const { value, download, refused } = answer;
  if (refused !== undefined) throw new Refused(refused.status, refused.text);
  return download === undefined ? value : Download.from(download);
}

async function callApi(sources: Sources, request: Request, url: URL): Promise<Response> {
  const name = url.pathname.slice("/api/".length);
  const isPost = request.method === "POST";
  const known = isPost ? POSTS : GETS;
  if (!Object.hasOwn(known, name)) return refuse({ status: 404, text: "there is no such request" });
  if (!isPost && request.method !== "GET") return refuse({ status: 405, text: "GET or POST" });
  const body = isPost ? await bodyOf(request) : undefined;
  if (body instanceof Response) return body;
  const params = url.searchParams;
  const thread = params.get("thread");
  try {
    const answer =
      thread !== null
        ? await askThread(thread, { name, params: String(params), body }, params, request.signal)
        : body !== undefined
          ? await (POSTS[name] as Post)(sources, body)
          : await (GETS[name] as Get)(sources, params, request.signal);
    if (answer instanceof Download) return answer.response();
    return answer instanceof Response ? answer : json(answer);
  } catch (error) {
    if (error instanceof Refused) return refuse({ status: error.status, text: error.message });
    throw error;
  }
}

/** Answers one request. */
export async function answer(sources: Sources, request: Request): Promise<Response> {
  const { access } = sources;
  const url = new URL(request.url);
  const path = url.pathname === "/" ? "index.html" : url.pathname.slice(1);
  const foreign = access.foreign(request, path === "index.html");
  if (foreign !== undefined) return refuse(foreign);
  if (path === "api/login" && request.method === "POST") return await login(sources, request);
  const allowed = access.allows(request);
  if (!allowed && path === "index.html") return asset("login.html") as Response;
  if (!allowed && !PUBLIC.has(path)) return refuse({ status: 401, text: "the token is missing" });
  if (path.startsWith("api/")) return await callApi(sources, request, url);
  return asset(path) ?? refuse({ status: 404, text: "there is no such page" });
}
