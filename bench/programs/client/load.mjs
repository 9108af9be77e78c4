// What the client programs have in common: 64 goroutines (or async functions) share 16 connections to
// an echo server and ask it for lines.
import { measure } from "../loop.mjs";

export const GOROUTINES = 64;
export const CONNECTIONS = 16;
/** Requests that are written at once in the case "pipeline". */
export const PIPELINE = 20;

export const REQUEST = "PING 0123456789\r\n";
export const ANSWER = REQUEST.slice(0, -2);
export const REQUESTS = REQUEST.repeat(PIPELINE);

const at = process.argv.indexOf("--addr");
export const address = process.argv[at + 1];

export function check(line) {
  if (line !== ANSWER) throw new Error(`a wrong answer: ${line}`);
}

/** Divides `count` requests, `each` per call of `work`, among the goroutines. */
function among(work, each) {
  return async (count) => {
    const calls = Math.ceil(count / each / GOROUTINES);
    const worker = async () => {
      for (let i = 0; i < calls; i++) await work();
    };
    await Promise.all(Array.from({ length: GOROUTINES }, worker));
  };
}

/** Each of the two asks once with a connection of its own for that long. */
export async function measureClient(one, many) {
  const batch = GOROUTINES * PIPELINE * 4;
  await measure({ request: among(one, 1), pipeline: among(many, PIPELINE) }, batch);
  process.exit(0);
}
