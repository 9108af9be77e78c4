/**
 * handler.ts: profiles over HTTP, at the paths of Go's net/http/pprof.
 */
import type { Request } from "../../http/request.ts";
import { Response } from "../../http/response.ts";
import { formatDump, takeDump } from "../dump.ts";
import { PROFILES, type ProfileKind, profile } from "./profile.ts";

const ROOT = "/debug/pprof/";

/** What Go calls them. */
const NAMES = new Map<string, ProfileKind>(
  PROFILES.map((kind) => [kind === "cpu" ? "profile" : kind, kind]),
);

const WORDS: Record<ProfileKind, string> = {
  cpu: "where time is spent (seconds=30)",
  heap: "what was allocated and lives (seconds=5)",
  allocs: "what is allocated (seconds=5)",
  goroutine: "every goroutine; debug=2 for a text",
  block: "waits of goroutines for each other, since setBlockProfileRate()",
  mutex: "who held others up, since setMutexProfileFraction()",
};

const TEXT = { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" };

function index(): Response {
  const items = [...NAMES].map(
    ([name, kind]) => `<li><a href="${name}">${name}</a>: ${WORDS[kind]}</li>`,
  );
  const page = `<!doctype html><title>${ROOT}</title><h1>${ROOT}</h1><ul>${items.join("")}</ul>`;
  return new Response(page, { headers: { "content-type": "text/html; charset=utf-8" } });
}

function failure(status: number, text: string): Response {
  return new Response(`${text}\n`, { status, headers: TEXT });
}

/**
 * A handler for serve() that answers at /debug/pprof/ as Go's net/http/pprof does: profile (the CPU's),
 * heap, allocs, goroutine, block and mutex, each with `?seconds=N`; `goroutine?debug=2` is a text.
 * `go tool pprof http://localhost:6060/debug/pprof/profile?seconds=5` reads them. For other paths it
 * gives undefined, so that a server of one's own can ask it first.
 *
 * Profiles tell much about a program, and taking one costs: serve them where only you can come.
 *
 * @example
 * import { Response, serve } from "coronet/http";
 * import { pprofHandler } from "coronet/debug";
 * const pprof = pprofHandler();
 * await using server = await serve("127.0.0.1:0", async (request) => {
 *   return (await pprof(request)) ?? new Response("hello");
 * });
 * const answer = await fetch(`http://${server.addr}/debug/pprof/goroutine`);
 * console.log(answer.status, answer.headers.get("content-type")); // 200 application/octet-stream
 */
export function pprofHandler(): (request: Request) => Promise<Response | undefined> {
  return async (request) => {
    const { pathname, searchParams } = new URL(request.url);
    if (!pathname.startsWith(ROOT)) return undefined;
    const name = pathname.slice(ROOT.length);
    if (name === "") return index();
    if (name === "cmdline") return failure(200, process.argv.join("\0"));
    const kind = NAMES.get(name);
    if (kind === undefined) return failure(404, `no profile "${name}"`);
    if (kind === "goroutine" && Number(searchParams.get("debug")) > 0) {
      return new Response(formatDump(await takeDump()), { headers: TEXT });
    }
    return await answer(kind, searchParams.get("seconds"), request.signal);
  };
}

async function answer(
  kind: ProfileKind,
  seconds: string | null,
  signal: AbortSignal,
): Promise<Response> {
  try {
    const options = seconds === null ? { signal } : { signal, seconds: Number(seconds) };
    const bytes = await profile(kind, options);
    return new Response(bytes, {
      headers: {
        "content-type": "application/octet-stream",
        "content-disposition": `attachment; filename="${kind}.pprof"`,
        "x-content-type-options": "nosniff",
      },
    });
  } catch (error) {
    return failure(error instanceof RangeError ? 400 : 500, (error as Error).message);
  }
}
