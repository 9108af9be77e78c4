/**
 * stats_service.ts: time and statistics of an echo server, by lines of text.
 *
 * One goroutine per connection reads a command and answers it. An answer of several lines ends with
 * an empty one. Whoever is silent for five minutes is dropped.
 */
import {
  type Conn,
  go,
  type Listener,
  listen,
  NetError,
  type StreamNetwork,
  stats,
} from "../index.ts";
import type { EchoConnection, EchoServer } from "./echo_server.ts";
import { bytes, count, duration } from "./format.ts";
import { lines, TOO_LONG } from "./lines.ts";
import { printable } from "./output.ts";

const LONGEST_LINE = 256;
const LONGEST_LIST = 20;
const IDLE_MS = 300_000;

const HELP = `time    the time of day
stats   numbers about the server, one per line
conns   its connections, the newest first
help    this
quit    closes the connection`;

export class StatsService implements AsyncDisposable {
  readonly listener: Listener;
  private readonly echo: EchoServer;
  private readonly conns = new Set<Conn>();

  private constructor(listener: Listener, echo: EchoServer) {
    this.listener = listener;
    this.echo = echo;
    go(this.accept);
  }

  static async listen(
    network: StreamNetwork,
    address: string,
    echo: EchoServer,
  ): Promise<StatsService> {
    return new StatsService(await listen(network, address), echo);
  }

  private readonly accept = async (): Promise<void> => {
    for await (const conn of this.listener) go(this.serve, conn);
  };

  private readonly serve = async (conn: Conn): Promise<void> => {
    await using _ = conn;
    this.conns.add(conn);
    try {
      conn.setTimeouts({ idle: IDLE_MS });
      for await (const line of lines(conn, LONGEST_LINE)) {
        if (line === "") continue;
        await conn.write(`${this.answer(line)}\n`);
        if (line === "quit") break;
      }
    } catch (error) {
      if (!(error instanceof NetError)) throw error;
    } finally {
      this.conns.delete(conn);
    }
  };

  private answer(line: string | typeof TOO_LONG): string {
    switch (line) {
      case "time":
        return new Date().toISOString();
      case "stats":
        return `${numbers(this.echo)}\n`;
      case "conns":
        return `${connections(this.echo)}\n`;
      case "help":
        return `${HELP}\n`;
      case "quit":
        return "bye";
      case TOO_LONG:
        return `a line has at most ${LONGEST_LINE} characters`;
      default:
        return `unknown command "${line.slice(0, 40)}": try time, stats, conns, help or quit`;
    }
  }

  /** Stops at once: between two lines nothing is left unfinished. */
  async close(): Promise<void> {
    await this.listener.close();
    await Promise.all(Array.from(this.conns, (conn) => conn.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** One "name value" per line, for people and for scripts. */
function numbers(echo: EchoServer): string {
  const { goroutines, parked, turns, woken, timers } = stats();
  const all = {
    uptime_seconds: Math.round((performance.now() - echo.startedAt) / 100) / 10,
    connections_live: echo.connections.size,
    connections_peak: echo.peak,
    connections_accepted: echo.accepted,
    bytes_received: echo.bytesIn,
    bytes_sent: echo.bytesOut,
    messages: echo.messages,
    goroutines_live: goroutines.live,
    goroutines_peak: goroutines.peak,
    goroutines_started: goroutines.started,
    goroutines_parked: parked,
    poller_turns: turns,
    poller_woken: woken,
    timers_armed: timers,
    memory_rss_bytes: process.memoryUsage.rss(),
  };
  return Object.entries(all)
    .map(([name, value]) => `${name} ${value}`)
    .join("\n");
}

function connections(echo: EchoServer): string {
  const all = [...echo.connections].reverse();
  if (all.length === 0) return "no connections";
  const shown = all.slice(0, LONGEST_LIST).map(describe);
  const more = all.length - shown.length;
  return [...shown, ...(more > 0 ? [`and ${count(more)} more`] : [])].join("\n");
}

function describe(connection: EchoConnection): string {
  const { bytesIn, bytesOut, openedAt, state } = connection;
  const age = duration(performance.now() - openedAt);
  const peer = printable(connection.peer) || "(no name)";
  return `${peer}  ${age}  received ${bytes(bytesIn)}  sent ${bytes(bytesOut)}  ${state}`;
}
