/**
 * foreign_programs.ts: the environment for programs that others have written: servers that tests talk to.
 *
 * The sanitizer's runtime that watches our addon (tools/asan.mjs) must not be loaded into them: some
 * never start with it.
 */
const { LD_PRELOAD: _runtime, ...env } = process.env;

export const foreignEnv: NodeJS.ProcessEnv = env;
