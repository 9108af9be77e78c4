/** demo.ts: `coronet demo`, an echo server to play with, beside a service that tells about it. */
import { inspect } from "../debug/inspector/inspect.ts";
import { NetError } from "../index.ts";
import { ADDRESS_HELP, clientFor, neighbour, networkOf } from "./address.ts";
import { type Arguments, Failure } from "./arguments.ts";
import type { Command } from "./command.ts";
import type { Display, Scene } from "./display.ts";
import { EchoServer } from "./echo_server.ts";
import { bytes, duration, plural } from "./format.ts";
import { Log } from "./log.ts";
import { print } from "./output.ts";
import { aborted, Shutdown } from "./shutdown.ts";
import { StatsService } from "./stats_service.ts";
import type { Service } from "./view/frame.ts";
import { canDraw, View } from "./view/view.ts";

const ECHO_ADDRESS = ":2333";
const STATS_PORT = 2334;

const help = `coronet demo: an echo server with a live view of its connections and goroutines

Usage: coronet demo [options]

  --listen ADDRESS    where the echo server listens (${ECHO_ADDRESS})
  --stats ADDRESS     where the time and stats service listens (port ${STATS_PORT} beside it, or a free
                      one): it answers time, stats, conns, help and quit
  --drain SECONDS     how long connections may finish once it was told to end (5)
  --inspect-ui        serves a page that shows it run, too, and prints where
  --no-view           plain lines instead of the view, as when the output is no terminal

q, Ctrl-C, SIGINT or SIGTERM end it: it accepts no more, lets connections finish, then closes them.
A second one closes them at once.

${ADDRESS_HELP}

Examples:
  coronet demo
  coronet demo --listen 127.0.0.1:0
  nc 127.0.0.1 2333                 in another terminal: type a line, it comes back
  echo stats | nc -N 127.0.0.1 2334`;

/** Says what to type when an address is taken. */
function withAdvice(error: unknown, option: string): unknown {
  if (!(error instanceof NetError) || error.code !== "EADDRINUSE") return error;
  const address = error.address ?? "";
  const free = error.network === "tcp" ? neighbour(address, 0) : ":0";
  return new Failure(
    `coronet demo: ${address} is already in use (${error.code}); for a free port: ${option} ${free}`,
  );
}

async function listenEcho(address: string): Promise<EchoServer> {
  try {
    return await EchoServer.listen(networkOf(address, undefined), address);
  } catch (error) {
    throw withAdvice(error, "--listen");
  }
}

/** On its own port if that is free; only an address that was asked for must be had. */
async function listenStats(
  address: string,
  asked: string | undefined,
  echo: EchoServer,
): Promise<StatsService> {
  const listen = (place: string): Promise<StatsService> =>
    StatsService.listen(networkOf(place, undefined), place, echo);
  try {
    return await listen(asked ?? neighbour(address, STATS_PORT));
  } catch (error) {
    const taken = error instanceof NetError && error.code === "EADDRINUSE";
    if (taken && asked === undefined && echo.listener.network === "tcp") {
      return listen(neighbour(address, 0));
    }
    throw withAdvice(error, "--stats");
  }
}

function servicesOf(echo: EchoServer, stats: StatsService): Service[] {
  const service = (name: string, { listener }: EchoServer | StatsService, hint: string) => ({
    name,
    address: String(listener.addr),
    client: clientFor(listener.addr),
    hint,
  });
  return [
    service("echo", echo, "type a line, it comes back"),
    service("stats", stats, "then time, stats, conns or help"),
  ];
}

async function run(args: Arguments): Promise<number> {
  const address = args.text("listen") ?? ECHO_ADDRESS;
  const drainMs = args.seconds("drain", 5);
  const drawn = canDraw() && !args.flag("no-view");
  using shutdown = new Shutdown(drawn);
  await using echo = await listenEcho(address);
  await using stats = await listenStats(address, args.text("stats"), echo);
  await using inspector = args.flag("inspect-ui") ? await inspect() : undefined;
  const services = servicesOf(echo, stats);
  if (inspector !== undefined) {
    const { addr: address, url: client } = inspector;
    services.push({ name: "inspector", address, client, hint: "in a browser" });
  }
  const scene: Scene = { echo, stats, services, drainUntil: undefined };
  await show(scene, drawn ? new View(scene, shutdown) : new Log(scene), shutdown, drainMs);
  print(`coronet demo: stopped after ${history(echo)}`);
  return 0;
}

async function show(scene: Scene, display: Display, shutdown: Shutdown, drainMs: number) {
  using _ = display;
  display.open();
  await aborted(shutdown.begun);
  scene.drainUntil = performance.now() + drainMs;
  display.closing();
  await Promise.all([scene.stats.close(), scene.echo.drain(drainMs, shutdown.atOnce)]);
}

function history({ startedAt, accepted, bytesIn, bytesOut }: EchoServer): string {
  const time = duration(performance.now() - startedAt);
  const traffic = `${bytes(bytesIn)} received, ${bytes(bytesOut)} sent`;
  return `${time}: ${plural(accepted, "connection")}, ${traffic}`;
}

export const demo: Command = {
  name: "demo",
  summary: "an echo server with a live view, to play with",
  help,
  options: {
    listen: { type: "string" },
    stats: { type: "string" },
    drain: { type: "string" },
    "inspect-ui": { type: "boolean" },
    "no-view": { type: "boolean" },
  },
  positionals: [],
  run,
};
