/** display.ts: what the demo shows, and what shows it. */
import type { EchoServer } from "./echo_server.ts";
import type { StatsService } from "./stats_service.ts";
import type { Service } from "./view/frame.ts";

/** What a display shows. */
export interface Scene {
  readonly echo: EchoServer;
  readonly stats: StatsService;
  readonly services: readonly Service[];
  /** Set while connections finish: when they will be closed, by performance.now(). */
  drainUntil: number | undefined;
}

/** Shows a scene until it is disposed of. */
export interface Display extends Disposable {
  open(): void;
  /** scene.drainUntil has been set. */
  closing(): void;
}
