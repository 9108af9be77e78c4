/** inspected_end.ts: a program that ends by itself: "work", or "deadlock" at once or "later", when told. */
import { once } from "node:events";
import { Chan, go, sleep } from "../../src/index.ts";

const [how, when] = process.argv.slice(2);

if (when === "later") {
  await once(process.stdin, "data");
  process.stdin.destroy();
} else await sleep(200);

if (how === "deadlock") {
  go(async function forEver() {
    await new Chan<number>().receive();
  });
}
