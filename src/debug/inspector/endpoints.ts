/**
 * endpoints.ts: what the page says of an open connection or listener beside its meters: who opened it, its
 * addresses. Nothing is kept alive here.
 */
import { openTraffic, type Traffic } from "../meters/meters.ts";
import { openedOf } from "../registry.ts";

export class Endpoint {
  readonly record: Traffic;
  /** When it was opened, by performance.now(); undefined: not known. */
  readonly since: number | undefined;
  /** Who opened it. */
  readonly by: { readonly id: number; readonly name: string } | undefined;
  private names: { network: string; local: string; remote: string; text: string } | undefined;

  constructor(record: Traffic) {
    this.record = record;
    const opened = openedOf(record.endpoint);
    this.since = opened?.since ?? (record.found ? undefined : record.since);
    const by = opened?.goroutine;
    // Not the goroutine itself, which may end long before.
    this.by = by === undefined ? undefined : { id: by.id, name: by.name };
  }

  get isListener(): boolean {
    return "accept" in this.record.endpoint;
  }

  /** When bytes moved last, or it was opened; undefined: not known. */
  get active(): number | undefined {
    const { last } = this.record;
    return last === 0 ? this.since : Math.max(last, this.since ?? 0);
  }

  /** Asked for once: to look an address up is a system call. */
  private get known(): NonNullable<Endpoint["names"]> {
    if (this.names === undefined) {
      const endpoint = this.record.endpoint as Record<string, unknown>;
      const { network, localAddr, remoteAddr, addr } = endpoint;
      const text = (value: unknown): string => (value === undefined ? "" : String(value));
      const local = text(this.isListener ? addr : localAddr);
      const remote = text(remoteAddr);
      const all = `${network} ${local} ${remote} ${this.by?.id ?? ""} ${this.by?.name ?? ""}`;
      this.names = { network: text(network), local, remote, text: all.toLowerCase() };
    }
    return this.names;
  }

  get isKnown(): boolean {
    return this.names !== undefined;
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

const endpoints = new WeakMap<Traffic, Endpoint>();

export function endpointOf(record: Traffic): Endpoint {
  let endpoint = endpoints.get(record);
  if (endpoint === undefined) {
    endpoint = new Endpoint(record);
    endpoints.set(record, endpoint);
  }
  return endpoint;
}

/** So long others wait at most, in ms. */
const SLICE_MS = 2;
let ahead: Endpoint[] = [];

/** Looks addresses up before a filter asks for all of them at once, a few in each turn of the loop. */
export function lookUpAhead(listed: readonly Endpoint[]): void {
  if (ahead.length > 0) return;
  ahead = listed.filter(({ isKnown }) => !isKnown);
  lookUpSome();
}

function lookUpSome(): void {
  const end = performance.now() + SLICE_MS;
  for (let next = ahead.pop(); next !== undefined; next = ahead.pop()) {
    void next.text;
    if (performance.now() < end) continue;
    setImmediate(lookUpSome);
    return;
  }
}

/** The open one of that number. */
export function endpointById(id: number): Endpoint | undefined {
  const record = openTraffic().find((each) => each.id === id);
  return record && endpointOf(record);
}
