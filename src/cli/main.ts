#!/usr/bin/env node
/** main.ts: the `coronet` command: hands its arguments to run() and takes the exit status from it. */
import { run } from "./run.ts";

process.exitCode = await run(process.argv.slice(2));
