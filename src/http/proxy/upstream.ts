/**
 * upstream.ts: a server behind a proxy, and what is known of its health.
 *
 * Passive: so many failures within a time take it out for that time; then the next request is its trial
 * (nginx: max_fails, fail_timeout). Active: checks say by themselves whether it is up (checks.ts).
 */
import type { Client } from "../client/client.ts";
import type { Origin } from "../client/origin.ts";
import { atLeast, type UpstreamOptions } from "./options.ts";

export class Upstream {
  /** As it was given. */
  readonly url: string;
  readonly weight: number;
  /** Requests that are under way. */
  active = 0;
  /** Requests that it got, and those that it failed. */
  requests = 0;
  failures = 0;
  /** @internal What the checks say; true without any. */
  passing = true;
  /** @internal */
  readonly origin: Origin;
  /** @internal Put before each request's path. */
  readonly prefix: string;
  /** @internal Of the smooth weighted round robin. */
  credit = 0;
  private readonly maxFails: number;
  private readonly failTime: number;
  private recent = 0;
  private since = 0;
  private outUntil = 0;

  /** @internal */
  constructor(given: string | UpstreamOptions, client: Client, maxFails: number, failTime: number) {
    const { url, socketPath, weight = 1 } = typeof given === "string" ? { url: given } : given;
    const parsed = new URL(url);
    if (parsed.protocol !== "http:" && parsed.protocol !== "https:") {
      throw new TypeError(`reverseProxy: expected an upstream of http: or https:, got ${url}`);
    }
    if (parsed.search !== "" || parsed.hash !== "" || parsed.username !== "") {
      throw new TypeError(`reverseProxy: an upstream's url is an address and a path, got ${url}`);
    }
    this.url = url;
    this.weight = atLeast(weight, Number.MIN_VALUE, "weight");
    this.origin = client.originOf(parsed, socketPath);
    this.prefix = parsed.pathname.replace(/\/+$/, "");
    this.maxFails = maxFails;
    this.failTime = failTime;
  }

  /** It gets requests. */
  get up(): boolean {
    return this.passing && (this.outUntil === 0 || performance.now() >= this.outUntil);
  }

  /** @internal A request has failed here. */
  fail(): void {
    this.failures++;
    if (this.maxFails === 0) return;
    const now = performance.now();
    if (now - this.since > this.failTime) {
      this.since = now;
      this.recent = 0;
    }
    // One that was out has a single trial.
    if (++this.recent >= this.maxFails || this.outUntil !== 0) this.outUntil = now + this.failTime;
  }

  /** @internal It has answered. */
  succeed(): void {
    if (this.outUntil === 0) return;
    // The trial after the time out went well.
    if (performance.now() >= this.outUntil) this.outUntil = this.recent = 0;
  }
}
