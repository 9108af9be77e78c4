/**
 * worker_program.ts: the life of a worker that has a process or a thread of its own.
 *
 * It tells its numbers when it is asked, once a second while they change (so that little is lost of a
 * worker that is killed), and at its end.
 */
import type { Boot, Order, Report } from "./control.ts";
import { Service, type Sources } from "./service.ts";

const REPORT_MS = 1000;

/** How a worker reaches its supervisor, and how it ends. */
export interface Lifeline {
  report(report: Report): void;
  /** Ends the worker, after everything reported has gone out. */
  exit(status: number): void;
}

export class WorkerProgram {
  private readonly lifeline: Lifeline;
  private readonly service: Service;
  private readonly boot: Boot;
  private last = "";

  constructor(boot: Boot, sources: Sources, lifeline: Lifeline) {
    this.boot = boot;
    this.lifeline = lifeline;
    this.service = new Service(boot, sources, () => lifeline.report({ type: "recycle" }));
  }

  async run(): Promise<void> {
    try {
      await this.service.start();
    } catch (error) {
      const text = error instanceof Error ? (error.stack ?? String(error)) : String(error);
      this.lifeline.report({ type: "failed", error: text });
      this.lifeline.exit(1);
      return;
    }
    this.lifeline.report({ type: "ready" });
    setInterval(() => this.reportChanges(), REPORT_MS).unref();
  }

  onOrder(order: Order): void {
    if (order.type === "stats") this.reportStats();
    else void this.end(order.timeout);
  }

  /** Nobody is left to give orders, or somebody asks it alone to end. */
  endByItself(): void {
    void this.end(this.boot.drainTimeout);
  }

  private async end(timeout: number): Promise<void> {
    let status = 0;
    try {
      await this.service.drain(timeout, () => this.lifeline.report({ type: "left" }));
    } catch (error) {
      console.error(error);
      status = 1;
    }
    this.reportStats();
    this.lifeline.exit(status);
  }

  private reportStats(): void {
    this.lifeline.report({ type: "stats", stats: this.service.stats });
  }

  private reportChanges(): void {
    const { stats } = this.service;
    const text = JSON.stringify(stats);
    if (text === this.last) return;
    this.last = text;
    this.lifeline.report({ type: "stats", stats });
  }
}
