/** top.ts: `coronet top`, the numbers of another process while it runs. */
import { setTimeout as pause } from "node:timers/promises";
import { ORDERS, type Order } from "../debug/top.ts";
import { type Arguments, UsageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { print, printable } from "./output.ts";
import { aborted, Shutdown } from "./shutdown.ts";
import { Target } from "./top_target.ts";
import { Screen } from "./view/screen.ts";
import { type TopModel, topFrame, topText } from "./view/top_frame.ts";
import { canDraw, glyphs, wantsColours } from "./view/view.ts";

const help = `coronet top: the goroutines, connections and rates of a running process, live

Usage: coronet top PID|ADDR [options]

  --interval S   seconds between two looks; 1 when left out
  --sort ORDER   connections by ${ORDERS.join(", ")}; bytes when left out
  --filter TEXT  only connections whose addresses have this in them
  --once         looks twice, prints the numbers and ends
  --json         as JSON, one line for each look; with --once the second alone

Keys: q quits, s sorts by the next order, / filters, p pauses. Without a terminal the numbers are
printed at every interval.

The process must have been started with CORONET_DEBUG=1 in its environment, with
node --import coronet/debug, or have called startDebugging(): it then has a control socket for each
of its threads. Where an inspector runs, its worker processes' too, ADDR is what the inspector
printed, http://HOST:PORT/#token=…, or HOST:PORT with the token in CORONET_INSPECT_TOKEN; it may
also be the path of one control socket.

Examples:
  coronet top 4711
  coronet top 4711 --once --sort age
  coronet top 'http://127.0.0.1:9000/#token=…'`;

function orderOf(args: Arguments): Order {
  const text = args.text("sort") ?? "bytes";
  const order = ORDERS.find((each) => each === text);
  if (order !== undefined) return order;
  throw new UsageError(`coronet top: --sort takes ${ORDERS.join(", ")}, not "${text}"`);
}

/** The live screen. */
class TopView implements Disposable {
  private readonly target: Target;
  private readonly shutdown: Shutdown;
  private readonly screen = new Screen();
  private readonly colours = wantsColours();
  private readonly glyphs = glyphs();
  private model: TopModel;
  private typing = false;
  private paused = false;

  constructor(target: Target, model: TopModel, shutdown: Shutdown) {
    this.target = target;
    this.model = model;
    this.shutdown = shutdown;
  }

  open(): void {
    this.screen.onKey = (key) => this.pressed(key);
    this.screen.onChange = () => this.draw();
    process.stdout.on("error", this.shutdown.request);
    this.screen.open();
  }

  [Symbol.dispose](): void {
    this.screen[Symbol.dispose]();
    process.stdout.off("error", this.shutdown.request);
  }

  async refresh(): Promise<void> {
    if (this.paused) return;
    this.model = await this.target.look();
    this.draw();
  }

  private pressed(key: string): void {
    const { target } = this;
    if (key === "\x03") this.shutdown.request();
    else if (this.typing) this.typed(key);
    else if (key === "q" || key === "Q") this.shutdown.request();
    else if (key === "s") {
      const next = (ORDERS.indexOf(target.order) + 1) % ORDERS.length;
      target.order = ORDERS[next] as Order;
    } else if (key === "/") {
      this.typing = true;
      target.filter = "";
    } else if (key === "p") this.paused = !this.paused;
    this.draw();
  }

  private typed(key: string): void {
    const { target } = this;
    if (key === "\r" || key === "\n") this.typing = false;
    else if (key === "\x1b") {
      this.typing = false;
      target.filter = "";
    } else if (key === "\x7f" || key === "\b") target.filter = target.filter.slice(0, -1);
    else if (key >= " " && key.length === 1) target.filter += key;
  }

  private draw(): void {
    const { typing, paused, screen, target } = this;
    const { order, filter } = target;
    const model = { ...this.model, typing, paused, order, filter, keys: screen.hasKeys };
    screen.draw(topFrame(model, screen.size, this.glyphs, this.colours));
  }
}

function printText(model: TopModel): void {
  for (const line of topText(model)) print(printable(line));
}

async function once(target: Target, interval: number, json: boolean): Promise<void> {
  await target.look();
  await pause(interval);
  const model = await target.look();
  if (json) print(JSON.stringify(model.threads.map(({ now }) => now)));
  else printText(model);
}

/** Prints, or draws, until it is told to end. */
async function follow(target: Target, interval: number, json: boolean): Promise<void> {
  const drawn = canDraw() && !json;
  using shutdown = new Shutdown(drawn);
  const first = await target.look();
  using view = drawn ? new TopView(target, first, shutdown) : undefined;
  view?.open();
  const ended = aborted(shutdown.begun);
  const show = async (): Promise<void> => {
    if (view !== undefined) return await view.refresh();
    const model = await target.look();
    if (json) print(JSON.stringify(model.threads.map(({ now }) => now)));
    else printText(model);
  };
  while (!shutdown.begun.aborted) {
    await pause(interval, undefined, { signal: shutdown.begun }).catch(() => {});
    if (shutdown.begun.aborted) return;
    const shown = show();
    // Whoever quits does not wait for a thread that is busy; what it says then is not needed.
    shown.catch(() => {});
    await Promise.race([shown, ended]);
  }
}

async function run(args: Arguments): Promise<number> {
  const interval = args.seconds("interval", 1);
  if (interval < 100) throw new UsageError("coronet top: --interval takes seconds, from 0.1 on");
  const [name] = args.positionals as [string];
  const target = new Target(name, orderOf(args), args.text("filter") ?? "");
  if (args.flag("once")) await once(target, interval, args.flag("json"));
  else await follow(target, interval, args.flag("json"));
  return 0;
}

export const topCommand: Command = {
  name: "top",
  summary: "its goroutines, connections and rates, live",
  options: {
    interval: { type: "string" },
    sort: { type: "string" },
    filter: { type: "string" },
    once: { type: "boolean" },
    json: { type: "boolean" },
  },
  positionals: ["PID|ADDR"],
  help,
  run,
};
