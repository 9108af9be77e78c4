/** command.ts: what a subcommand is. */
import type { Arguments, Syntax } from "./arguments.ts";

export interface Command extends Syntax {
  /** One line for the overview. */
  readonly summary: string;
  readonly help: string;
  /** Does the work; resolves to the exit status. */
  run(args: Arguments): Promise<number>;
}
