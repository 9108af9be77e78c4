/** log.ts: the demo's display where there is no terminal: a few plain lines. */
import { pipeClientFor } from "./address.ts";
import type { Display, Scene } from "./display.ts";
import { bytes, count, duration, plural } from "./format.ts";
import { print } from "./output.ts";

const SUMMARY_MS = 10_000;

export class Log implements Display {
  private readonly scene: Scene;
  private timer: NodeJS.Timeout | undefined;
  private last = "";

  constructor(scene: Scene) {
    this.scene = scene;
  }

  open(): void {
    const { echo, stats } = this.scene;
    const { addr } = echo.listener;
    print(`coronet demo: echo on ${addr}, try it: printf hi | ${pipeClientFor(addr)}`);
    const side = stats.listener.addr;
    print(`coronet demo: stats on ${side}, try it: echo stats | ${pipeClientFor(side)}`);
    const page = this.scene.services.find(({ name }) => name === "inspector");
    if (page !== undefined) print(`coronet demo: inspector on ${page.client}`);
    this.last = this.summary();
    this.timer = setInterval(() => this.report(), SUMMARY_MS);
    this.timer.unref();
  }

  closing(): void {
    const { echo, drainUntil = 0 } = this.scene;
    const live = plural(echo.connections.size, "connection");
    const left = duration(Math.ceil((drainUntil - performance.now()) / 1000) * 1000);
    if (echo.connections.size > 0)
      print(`coronet demo: closing: ${live} may finish within ${left}`);
  }

  [Symbol.dispose](): void {
    clearInterval(this.timer);
  }

  /** A line when something has changed since the last one. */
  private report(): void {
    const summary = this.summary();
    if (summary === this.last) return;
    this.last = summary;
    print(`coronet demo: ${summary}`);
  }

  private summary(): string {
    const { connections, accepted, bytesIn, bytesOut } = this.scene.echo;
    const traffic = `${bytes(bytesIn)} received, ${bytes(bytesOut)} sent`;
    return `${plural(connections.size, "connection")} live, ${count(accepted)} in all, ${traffic}`;
  }
}
