/**
 * observe.ts: what a server tells of its work: counters that are always there, hooks and an access log for
 * who asks for them.
 *
 * The counters cost an addition each. Hooks and log cost a look at one field while there are none.
 */
import type { Conn } from "../net/conn.ts";
import type { AccessLog } from "./access_log.ts";
import type { RequestInfo } from "./info.ts";
import type { ResponseRecord } from "./record.ts";
import type { Request } from "./request.ts";

/** Numbers of a server since it began. */
export interface ServerStats {
  /** Connections that were accepted, and those of them that are open. */
  readonly accepted: number;
  readonly live: number;
  /** Requests whose head was understood. */
  readonly requests: number;
  /** Bytes from clients and to them; of upgraded connections up to the upgrade. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Requests that the server itself answered with an error, by its status. */
  readonly refused: Readonly<Record<number, number>>;
  /** Connections that became another protocol's. */
  readonly upgraded: number;
  /** Connections that never came to speak TLS. */
  readonly failedHandshakes: number;
}

/**
 * Is told what happens on a server, as it happens; for metrics and traces. Each is a plain function that
 * does not wait: what it throws is printed, and changes nothing.
 */
export interface ServerHooks {
  connectionOpened?(conn: Conn): void;
  connectionClosed?(conn: Conn): void;
  /** A request's head was understood; the handler is called next. */
  requestBegun?(request: Request, info: RequestInfo): void;
  /** A response was sent, or broke off. */
  responseSent?(record: ResponseRecord): void;
  /** The server answers by itself, with 400, 408, 413, 417, 431, …, and closes the connection. */
  refused?(status: number, reason: string, conn: Conn): void;
  /** A connection over TLS came to nothing: the client spoke something else, refused, fell silent. */
  handshakeFailed?(error: Error, conn: Conn): void;
  /** The connection is another protocol's from now on. */
  upgraded?(request: Request, info: RequestInfo): void;
}

/** Counts. */
export class Tally {
  accepted = 0;
  requests = 0;
  upgraded = 0;
  failedHandshakes = 0;
  /** Of connections that have left. */
  bytesIn = 0;
  bytesOut = 0;
  readonly refused: Record<number, number> = {};

  refuse(status: number): void {
    this.refused[status] = (this.refused[status] ?? 0) + 1;
  }
}

/** Passes on what happens to hooks and log. */
export class Observer {
  private readonly hooks: readonly ServerHooks[];
  private readonly log: AccessLog | undefined;

  constructor(hooks: readonly ServerHooks[], log: AccessLog | undefined) {
    this.hooks = hooks;
    this.log = log;
  }

  opened(conn: Conn): void {
    for (const each of this.hooks) {
      if (each.connectionOpened !== undefined) this.safely(() => each.connectionOpened?.(conn));
    }
  }

  closed(conn: Conn): void {
    for (const each of this.hooks) {
      if (each.connectionClosed !== undefined) this.safely(() => each.connectionClosed?.(conn));
    }
  }

  begun(request: Request, info: RequestInfo): void {
    for (const each of this.hooks) {
      if (each.requestBegun !== undefined) this.safely(() => each.requestBegun?.(request, info));
    }
  }

  sent(record: ResponseRecord): void {
    for (const each of this.hooks) {
      if (each.responseSent !== undefined) this.safely(() => each.responseSent?.(record));
    }
    this.write(record);
  }

  refused(status: number, reason: string, conn: Conn): void {
    for (const each of this.hooks) {
      if (each.refused !== undefined) this.safely(() => each.refused?.(status, reason, conn));
    }
  }

  handshakeFailed(error: Error, conn: Conn): void {
    for (const each of this.hooks) {
      const { handshakeFailed } = each;
      if (handshakeFailed !== undefined) this.safely(() => each.handshakeFailed?.(error, conn));
    }
  }

  upgraded(request: Request, info: RequestInfo): void {
    for (const each of this.hooks) {
      if (each.upgraded !== undefined) this.safely(() => each.upgraded?.(request, info));
    }
  }

  /** A line of the log, of what is no response of a handler. */
  write(record: ResponseRecord): void {
    if (this.log !== undefined) this.safely(() => this.log?.add(record));
  }

  private safely(tell: () => void): void {
    try {
      tell();
    } catch (error) {
      console.error("http: a hook failed:", error);
    }
  }
}

/** Hooks of every server of this thread, and how often they have changed. */
let everywhere: readonly ServerHooks[] = [];
let changes = 0;

/** Adds hooks to every server of this thread, those that run included. Returns what takes them out. */
export function hookEveryServer(hooks: ServerHooks): () => void {
  everywhere = [...everywhere, hooks];
  changes++;
  return () => {
    everywhere = everywhere.filter((each) => each !== hooks);
    changes++;
  };
}

const apart = new WeakSet<ServerHooks>();

/** Of a server with these hooks the hooks of all servers hear nothing: who looks is not looked at. */
export function setApart(hooks: ServerHooks): ServerHooks {
  apart.add(hooks);
  return hooks;
}

/** Who is to be told of a server's work: its own hooks and log, and the hooks of all. */
export class Audience {
  private readonly hooks: ServerHooks | undefined;
  private readonly log: AccessLog | undefined;
  private readonly apart: boolean;
  private observer: Observer | undefined;
  private seen = -1;

  constructor(hooks: ServerHooks | undefined, log: AccessLog | undefined) {
    this.hooks = hooks;
    this.log = log;
    this.apart = hooks !== undefined && apart.has(hooks);
  }

  /** What passes on what happens; undefined while nobody asks. */
  get current(): Observer | undefined {
    if (this.seen !== changes) {
      this.seen = changes;
      const others = this.apart ? [] : everywhere;
      const hooks = this.hooks === undefined ? others : [this.hooks, ...others];
      const nobody = hooks.length === 0 && this.log === undefined;
      this.observer = nobody ? undefined : new Observer(hooks, this.log);
    }
    return this.observer;
  }
}
