/**
 * inspect.ts: inspect(): serves a page that shows this process run.
 *
 * It stands on coronet/http, in the thread that it shows. Its own goroutines and connections are marked
 * (own.ts): they are hidden, keep nothing alive and hide no deadlock.
 */
import { setApart } from "../../http/observe.ts";
import { serve } from "../../http/serve.ts";
import { listen } from "../../net/listen.ts";
import { openControl } from "../control.ts";
import { watchMeters } from "../meters/meters.ts";
import { followOwn, marked, own } from "../own.ts";
import { watchGoroutines } from "../registry.ts";
import { Access, checkToken, newToken } from "./access.ts";
import { answer, type Sources } from "./api.ts";
import { Contention } from "./contention.ts";
import { Live } from "./live.ts";

export interface InspectOptions {
  /** Where the page is: "127.0.0.1:0", a free port of this machine alone, by default. */
  listen?: string;
  /** What one has to know: random by default. At least 16 letters, digits, ".", "_", "~" or "-". */
  token?: string;
}

/** An inspector that runs. */
export interface Inspector extends AsyncDisposable {
  /** The page's address with the token in its fragment, which browsers do not send. */
  readonly url: string;
  readonly addr: string;
  readonly token: string;
  close(): Promise<void>;
}

/** A page asks for little: who sends more is no page. */
const LIMITS = { body: 16_384, connections: 64, headerTime: 5000 };

/**
 * Serves a page that shows this process run: its goroutines, connections, channels and locks, the poller,
 * traces and profiles. For this machine alone and behind a random token, unless told otherwise. It keeps no
 * process alive. While it runs the registry of goroutines is kept, which costs a little (docs/inspector.md).
 *
 * @example
 * import { inspect } from "coronet/debug";
 * await using inspector = await inspect();
 * console.log(inspector.url.startsWith("http://127.0.0.1:")); // true: open it in a browser
 */
export async function inspect(options: InspectOptions = {}): Promise<Inspector> {
  const { listen: address = "127.0.0.1:0", token = newToken() } = options;
  checkToken(token);
  const undo: (() => unknown)[] = [];
  try {
    undo.push(watchGoroutines(), followOwn(), watchMeters());
    const listener = await listen("tcp", address);
    undo.push(() => listener.close());
    own(listener);
    const contention = new Contention();
    const live = new Live();
    const access = new Access(token, String(listener.addr));
    const about = {
      pid: process.pid,
      node: process.version,
      platform: `${process.platform} ${process.arch}`,
      program: process.argv[1] ?? "",
      started: Date.now() - performance.now(),
    };
    const sources: Sources = { access, contention, live, about };
    const server = await marked(() =>
      serve(listener, (request) => answer(sources, request), {
        limits: LIMITS,
        hooks: setApart({ connectionOpened: own }),
      }),
    );
    undo.push(() => server.close());
    // The columns of other threads come by their control sockets; without one there is this thread's.
    const control = await openControl().catch(() => undefined);
    undo.push(
      () => control?.close(),
      () => contention.stop(),
      () => live.close(),
    );
    const addr = String(listener.addr);
    const close = async (): Promise<void> => {
      for (const each of undo.splice(0).reverse()) await each();
    };
    const url = `http://${addr}/#token=${token}`;
    return { url, addr, token, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    for (const each of undo.splice(0).reverse()) await each();
    throw error;
  }
}

/** Starts one where the environment says ("1": anywhere), and says where it is. */
export async function inspectAsAsked(address: string, token: string | undefined): Promise<void> {
  const place = address === "1" ? "127.0.0.1:0" : address;
  const { url } = await inspect({ listen: place, ...(token === undefined ? {} : { token }) });
  process.stderr.write(`coronet: the inspector is at ${url}\n`);
}
