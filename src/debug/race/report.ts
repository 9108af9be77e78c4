/**
 * report.ts: what is said about a race, and what happens then.
 *
 * A race is told once for a pair of places in the program: a loop that runs into it a million times
 * makes one report, as Go's detector does.
 */
import { writeSync } from "node:fs";
import type { Goroutine } from "../../runtime/goroutine.ts";
import { framesOf } from "../stacks.ts";
import { type Access, STALE, UPDATE, WRITE } from "./accesses.ts";

/** One of the two accesses of a race. */
export interface RaceAccess {
  /** "stale update": it writes, and an earlier step only read; see docs/race_detector.md. */
  kind: "read" | "update" | "stale update" | "write";
  /** Undefined when no goroutine did it, but code outside of them. */
  goroutine: { id: number; name: string; origin: string | undefined } | undefined;
  /** Where: "function (file:line:column)", innermost first; after an await those that await it. */
  stack: string[];
}

/** Two accesses that nothing orders, one of which writes. */
export interface Race {
  /** What they access: "account.balance". */
  place: string;
  /** Where shared() was called: "file:line:column". */
  sharedAt: string | undefined;
  /** In the order in which they happened this time. */
  accesses: [RaceAccess, RaceAccess];
}

/** What a race does beside being passed to `onRace`. */
export type RaceMode = "report" | "warn" | "throw" | "exit";

/** A race, thrown by the access that ran into it. */
export class RaceError extends Error {
  override readonly name: string = "RaceError";
  readonly code = "ERR_RACE";
  readonly race: Race;

  constructor(race: Race) {
    super(`race on ${race.place}`);
    this.race = race;
  }
}

export interface RaceOptions {
  /**
   * What a race does: "report" (the default) prints it, and the process ends with status 66 if it would
   * end with 0; "warn" only prints it; "exit" ends the process at once with status 66; "throw" throws a
   * RaceError out of the access.
   */
  mode?: RaceMode;
  /** Gets each race, instead of it being printed. */
  onRace?: (race: Race) => void;
}

/** The status of a process with races: Go's. */
const EXIT_STATUS = 66;

export class Reporter {
  /** Races that were told. */
  count = 0;
  private readonly mode: RaceMode;
  private readonly onRace: ((race: Race) => void) | undefined;
  private readonly told = new Set<string>();

  constructor({ mode = "report", onRace }: RaceOptions) {
    this.mode = mode;
    this.onRace = onRace;
    if (mode === "report") process.on("exit", this.onExit);
  }

  stop(): void {
    if (this.count === 0) process.removeListener("exit", this.onExit);
  }

  report(place: string, sharedAt: string | undefined, before: Access, now: Access): void {
    const accesses: [RaceAccess, RaceAccess] = [describe(before), describe(now)];
    const key = accesses.map(({ kind, stack }) => `${kind} ${stack[0]}`).sort();
    const known = key.join("\n");
    if (this.told.has(known)) return;
    this.told.add(known);
    this.count++;
    const race: Race = { place, sharedAt, accesses };
    if (this.onRace !== undefined) this.onRace(race);
    else if (this.mode !== "throw") print(raceReport(race));
    if (this.mode === "throw") throw new RaceError(race);
    if (this.mode === "exit") process.exit(EXIT_STATUS);
  }

  private readonly onExit = (): void => {
    if (this.count === 0) return;
    if (this.onRace === undefined) print(`Found ${this.count} race(s)\n`);
    if ((process.exitCode ?? 0) === 0) process.exitCode = EXIT_STATUS;
  };
}

function describe({ kind, strand, where }: Access): RaceAccess {
  return {
    kind: nameOf(kind),
    goroutine: strand.goroutine === undefined ? undefined : nameGoroutine(strand.goroutine),
    stack: framesOf(where.stack ?? ""),
  };
}

function nameOf(kind: number): RaceAccess["kind"] {
  if (kind === WRITE) return "write";
  if (kind === STALE) return "stale update";
  return kind === UPDATE ? "update" : "read";
}

function nameGoroutine(g: Goroutine<unknown>): RaceAccess["goroutine"] {
  return { id: g.id, name: g.name, origin: g.origin };
}

const LINE = "==================\n";

/** A race as it is printed. */
export function raceReport(race: Race): string {
  const [before, now] = race.accesses;
  const parts = [
    `${LINE}WARNING: RACE on ${race.place}, shared at ${race.sharedAt ?? "unknown"}\n`,
  ];
  parts.push(sentence(now), `Previous ${uncapital(sentence(before))}`);
  for (const { goroutine } of [now, before]) {
    if (goroutine === undefined) continue;
    const where = goroutine.origin ?? "a place not recorded (CORONET_TRACEBACK=all records all)";
    parts.push(`Goroutine ${goroutine.id} [${goroutine.name}] was started at\n  ${where}\n`);
  }
  return `${parts.join("\n")}${LINE}`;
}

function sentence({ kind, goroutine, stack }: RaceAccess): string {
  const who = goroutine === undefined ? "code outside of goroutines" : `goroutine ${goroutine.id}`;
  const what = kind === "stale update" ? "Update after a read before an await" : capital(kind);
  return `${what} by ${who}:\n${stack.map((frame) => `  ${frame}\n`).join("")}`;
}

function capital(text: string): string {
  return `${text[0]?.toUpperCase()}${text.slice(1)}`;
}

function uncapital(text: string): string {
  return `${text[0]?.toLowerCase()}${text.slice(1)}`;
}

function print(text: string): void {
  try {
    writeSync(2, text);
  } catch {
    // Nobody reads standard error; the exit status says enough.
  }
}
