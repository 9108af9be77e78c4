/**
 * arguments.ts: the arguments of one command, checked against what it declares.
 *
 * Whatever is wrong with them is a UsageError: one line that names what would have been right.
 */
import { parseArgs } from "node:util";

/** The command was not understood: exit status 2. The message is all there is to say. */
export class UsageError extends Error {}

/** Something failed that is nobody's defect: exit status 1. The message is all there is to say. */
export class Failure extends Error {}

/** What a command takes. */
export interface Syntax {
  readonly name: string;
  /** Options by name, without the dashes: whether a value follows. */
  readonly options: Readonly<Record<string, { type: "string" | "boolean" }>>;
  /** Names of the positional arguments, all of which must be there. */
  readonly positionals: readonly string[];
}

/** Longest time that an option may ask for: timers take no more than 2^31 ms. */
const LONGEST_SECONDS = 86_400;

/** More workers than any machine has processors for. */
const MOST = 1024;

export class Arguments {
  readonly positionals: readonly string[];
  /** True when --help was asked for; nothing else has been checked then. */
  readonly help: boolean;
  private readonly values: ReadonlyMap<string, string>;
  private readonly command: string;

  constructor(
    command: string,
    values: ReadonlyMap<string, string>,
    positionals: readonly string[],
    help: boolean,
  ) {
    this.command = command;
    this.values = values;
    this.positionals = positionals;
    this.help = help;
  }

  text(name: string): string | undefined {
    return this.values.get(name);
  }

  /** An option that has to be there; `example` shows how. */
  required(name: string, example: string): string {
    const value = this.values.get(name);
    if (value !== undefined) return value;
    throw new UsageError(`${this.command}: --${name} is missing; for example --${name} ${example}`);
  }

  flag(name: string): boolean {
    return this.values.has(name);
  }

  /** Seconds, as ms; 0 is allowed. */
  seconds(name: string, fallback: number): number {
    return this.number(name, "seconds", fallback, 0, LONGEST_SECONDS) * 1000;
  }

  /** Milliseconds, more than 0; undefined when the option is absent. */
  milliseconds(name: string): number | undefined {
    if (!this.values.has(name)) return undefined;
    return this.number(name, "milliseconds", 0, 1, LONGEST_SECONDS * 1000);
  }

  /** How many, from 1; undefined when the option is absent. */
  count(name: string): number | undefined {
    const text = this.values.get(name);
    if (text === undefined) return undefined;
    const value = /^\d+$/.test(text) ? Number(text) : 0;
    if (value >= 1 && value <= MOST) return value;
    throw new UsageError(
      `${this.command}: --${name} takes a whole number from 1 to ${MOST}, not "${text}"`,
    );
  }

  private number(name: string, unit: string, fallback: number, min: number, max: number): number {
    const text = this.values.get(name);
    if (text === undefined) return fallback;
    const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new UsageError(
      `${this.command}: --${name} takes ${unit} from ${min} to ${max}, not "${text}"`,
    );
  }
}

/** Reads the arguments of a command. Throws a UsageError. */
export function parseArguments(syntax: Syntax, args: readonly string[]): Arguments {
  const command = `coronet ${syntax.name}`;
  const { tokens } = parseArgs({
    args: [...args],
    options: { ...syntax.options, help: { type: "boolean", short: "h" } },
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const values = new Map<string, string>();
  const positionals: string[] = [];
  let help = false;
  for (const token of tokens) {
    if (token.kind === "positional") positionals.push(token.value);
    if (token.kind !== "option") continue;
    if (token.name === "help") help = true;
    else values.set(token.name, readValue(token, syntax, command));
  }
  if (!help) checkPositionals(positionals, syntax, command);
  return new Arguments(command, values, positionals, help);
}

interface OptionToken {
  name: string;
  rawName: string;
  value: string | undefined;
  inlineValue: boolean | undefined;
}

function readValue(token: OptionToken, syntax: Syntax, command: string): string {
  const { name, rawName, value, inlineValue } = token;
  const option = Object.hasOwn(syntax.options, name) ? syntax.options[name] : undefined;
  if (option === undefined || !rawName.startsWith("--")) {
    const known = [...Object.keys(syntax.options), "help"].map((each) => `--${each}`).join(", ");
    throw new UsageError(`${command}: unknown option ${rawName}; known: ${known}`);
  }
  if (option.type === "boolean") {
    if (inlineValue === true) throw new UsageError(`${command}: ${rawName} takes no value`);
    return "";
  }
  // "--listen --stats": the value was forgotten, and the next option must not be taken for it.
  if (value === undefined || value === "" || (inlineValue !== true && value.startsWith("-"))) {
    throw new UsageError(`${command}: ${rawName} needs a value`);
  }
  return value;
}

function checkPositionals(
  given: readonly string[],
  { positionals }: Syntax,
  command: string,
): void {
  const missing = positionals[given.length];
  if (missing !== undefined) {
    throw new UsageError(`${command}: ${missing} is missing; see ${command} --help`);
  }
  if (given.length === positionals.length) return;
  const takes = positionals.length === 0 ? "options only" : positionals.join(" ");
  throw new UsageError(`${command}: "${given[positionals.length]}" is too much: it takes ${takes}`);
}
