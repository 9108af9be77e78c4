/** view.ts: the live screen of the demo: samples the server four times a second and draws it. */
import { stats } from "../../index.ts";
import type { Display, Scene } from "../display.ts";
import { printable } from "../output.ts";
import type { Shutdown } from "../shutdown.ts";
import { busiest } from "./busiest.ts";
import { ASCII, type Glyphs, UNICODE } from "./chart.ts";
import { type ConnectionRow, frame, type Model, roomForRows } from "./frame.ts";
import { History, Meter, sampleOf } from "./meter.ts";
import { Screen } from "./screen.ts";

const FRAME_MS = 250;
const COLUMN_MS = 500;
/** More than the widest terminal has columns. */
const LONGEST_HISTORY = 1000;

/** True when standard output is a terminal that can be drawn on. */
export function canDraw(): boolean {
  return process.stdout.isTTY === true && process.env.TERM !== "dumb";
}

/** Whether to use colours on standard output. */
export function wantsColours(): boolean {
  const { NO_COLOR } = process.env;
  return (NO_COLOR === undefined || NO_COLOR === "") && process.stdout.getColorDepth() > 1;
}

/** The characters that the terminal knows. */
export function glyphs(): Glyphs {
  const { LC_ALL, LC_CTYPE, LANG } = process.env;
  const locale = LC_ALL || LC_CTYPE || LANG || "UTF-8";
  return /utf-?8/i.test(locale) ? UNICODE : ASCII;
}

export class View implements Display {
  private readonly scene: Scene;
  private readonly shutdown: Shutdown;
  private readonly screen = new Screen();
  private readonly meter = new Meter();
  private readonly history = new History(COLUMN_MS, LONGEST_HISTORY);
  private readonly colours = wantsColours();
  private readonly glyphs = glyphs();
  private timer: NodeJS.Timeout | undefined;
  private rows: ConnectionRow[] = [];

  constructor(scene: Scene, shutdown: Shutdown) {
    this.scene = scene;
    this.shutdown = shutdown;
  }

  open(): void {
    this.screen.onKey = (key) => {
      if (key === "q" || key === "Q" || key === "\x03") this.shutdown.request();
    };
    this.screen.onChange = () => this.draw();
    process.stdout.on("error", this.lost);
    this.look();
    this.screen.open();
    this.timer = setInterval(() => {
      this.look();
      this.draw();
    }, FRAME_MS);
  }

  closing(): void {
    this.draw();
  }

  [Symbol.dispose](): void {
    clearInterval(this.timer);
    this.screen[Symbol.dispose]();
    process.stdout.off("error", this.lost);
  }

  /** The terminal is gone: there is nobody to wait for. */
  private readonly lost = (): void => {
    this.shutdown.request();
    this.shutdown.request();
  };

  /** Takes the numbers of now. */
  private look(): void {
    const { echo } = this.scene;
    const sample = sampleOf(echo);
    this.meter.add(sample);
    this.history.add(sample);
    this.rows = busiest(echo.connections, roomForRows(this.screen.size)).map((each) => ({
      peer: printable(each.peer) || "(no name)",
      ageMs: sample.at - each.openedAt,
      bytesIn: each.bytesIn,
      bytesOut: each.bytesOut,
      messages: each.messages,
      state: each.state,
    }));
  }

  private draw(): void {
    this.screen.draw(frame(this.model(), this.screen.size, this.glyphs, this.colours));
  }

  private model(): Model {
    const { echo, services, drainUntil } = this.scene;
    const now = performance.now();
    return {
      uptimeMs: now - echo.startedAt,
      services,
      live: echo.connections.size,
      peak: echo.peak,
      accepted: echo.accepted,
      goroutines: stats().goroutines,
      bytesIn: echo.bytesIn,
      bytesOut: echo.bytesOut,
      messages: echo.messages,
      rates: this.meter.rates(),
      history: this.history.values,
      columnMs: COLUMN_MS,
      rows: this.rows,
      drainLeftMs: drainUntil === undefined ? undefined : Math.max(drainUntil - now, 0),
      keys: this.screen.hasKeys,
    };
  }
}
