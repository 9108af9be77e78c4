/**
 * traffic.ts: the connections and listeners that are open, with their bytes, by number.
 *
 * Invariants
 *  - One record per open endpoint, made when it is opened (or found waiting when the inspector came),
 *    forgotten when it is closed: nothing is kept alive here.
 */
import { Op } from "../../poll/op.ts";
import type { Goroutine } from "../../runtime/goroutine.ts";
import { runtime } from "../../runtime/runtime.ts";
import { attach } from "../observers.ts";
import { openEndpoints } from "../registry.ts";
import { currentGoroutine } from "../who.ts";

/** What is known of one. */
export class ConnRecord {
  readonly id: number;
  readonly endpoint: object;
  /** When it was opened and when bytes moved last, by performance.now(); undefined: not known. */
  readonly since: number | undefined;
  active: number | undefined;
  /** Who opened it. */
  readonly by: { readonly id: number; readonly name: string } | undefined;
  in = 0;
  out = 0;
  private names: { network: string; local: string; remote: string; text: string } | undefined;

  constructor(
    id: number,
    endpoint: object,
    since: number | undefined,
    by: Goroutine<unknown> | undefined,
  ) {
    this.id = id;
    this.endpoint = endpoint;
    this.since = since;
    this.active = since;
    // Not the goroutine itself, which may end long before.
    this.by = by === undefined ? undefined : { id: by.id, name: by.name };
  }

  get isListener(): boolean {
    return "accept" in this.endpoint;
  }

  /** Asked for once: to look an address up is a system call. */
  private get known(): NonNullable<ConnRecord["names"]> {
    if (this.names === undefined) {
      const { network, localAddr, remoteAddr, addr } = this.endpoint as Record<string, unknown>;
      const text = (value: unknown): string => (value === undefined ? "" : String(value));
      const local = text(this.isListener ? addr : localAddr);
      const remote = text(remoteAddr);
      const all = `${network} ${local} ${remote} ${this.by?.id ?? ""} ${this.by?.name ?? ""}`;
      this.names = { network: text(network), local, remote, text: all.toLowerCase() };
    }
    return this.names;
  }

  get network(): string {
    return this.known.network;
  }

  /** All of them, in small letters. */
  get text(): string {
    return this.known.text;
  }

  get local(): string {
    return this.known.local;
  }

  get remote(): string {
    return this.known.remote;
  }
}

export class Traffic {
  private readonly records = new Map<object, ConnRecord>();
  private last = 0;
  private readonly detach: () => void;

  constructor() {
    const now = performance.now.bind(performance);
    for (const { endpoint, since, goroutine } of openEndpoints()) {
      this.add(endpoint, since, goroutine);
    }
    for (const waiter of runtime().cache.waiters()) {
      if (waiter instanceof Op && !this.records.has(waiter.fd.owner)) {
        this.add(waiter.fd.owner, undefined, undefined);
      }
    }
    this.detach = attach({
      opened: (endpoint) => this.add(endpoint, now(), currentGoroutine()),
      closed: (endpoint) => void this.records.delete(endpoint),
      moved: (conn, direction, bytes) => {
        let record = this.records.get(conn);
        if (record === undefined) {
          // Opened before anybody looked; one that is closed has been forgotten.
          if ((conn as { fd?: { closing?: boolean } }).fd?.closing === true) return;
          this.add(conn, undefined, undefined);
          record = this.records.get(conn) as ConnRecord;
        }
        if (direction === "read") record.in += bytes;
        else record.out += bytes;
        record.active = now();
      },
    });
  }

  private add(
    endpoint: object,
    since: number | undefined,
    goroutine: Goroutine<unknown> | undefined,
  ): void {
    this.records.set(endpoint, new ConnRecord(++this.last, endpoint, since, goroutine));
  }

  get all(): IterableIterator<ConnRecord> {
    return this.records.values();
  }

  /** That of an endpoint. */
  of(endpoint: object): ConnRecord | undefined {
    return this.records.get(endpoint);
  }

  find(id: number): ConnRecord | undefined {
    for (const record of this.records.values()) if (record.id === id) return record;
    return undefined;
  }

  stop(): void {
    this.detach();
    this.records.clear();
  }
}
