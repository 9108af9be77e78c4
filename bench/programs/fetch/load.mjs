// What the programs of the fetch suite have in common: 64 goroutines (or async functions) ask one server
// over connections that are kept.
import { measure } from "../loop.mjs";

export const GOROUTINES = 64;

const at = process.argv.indexOf("--addr");
export const address = process.argv[at + 1];
export const url = `http://${address}/`;

const values = Array.from({ length: 160 }, (_, i) => i * 1000);
/** 1 kB of JSON. */
export const JSON_BODY = JSON.stringify({ name: "coronet", values });
export const JSON_TYPE = { "content-type": "application/json" };

function check(ok) {
  if (!ok) throw new Error("a wrong answer");
}

export const checkHello = (text) => check(text === "Hello, World!");
export const checkSum = (answer) => check(answer.sum === 12_720_000);
export const checkLarge = (bytes) => check(bytes === 1_000_000);

function among(work) {
  return async (count) => {
    const calls = Math.ceil(count / GOROUTINES);
    const worker = async () => {
      for (let i = 0; i < calls; i++) await work();
    };
    await Promise.all(Array.from({ length: GOROUTINES }, worker));
  };
}

/** Each asks once for that: a greeting, a sum of 1 kB of JSON, a megabyte. */
export async function measureFetch(hello, json, large) {
  const some = among(large);
  // A megabyte takes as long as hundreds of greetings.
  const cases = { hello: among(hello), json: among(json), large: some };
  await measure(cases, process.argv.includes("large") ? GOROUTINES : GOROUTINES * 40);
  process.exit(0);
}

/** The three with a function that has the form of the standard's fetch. */
export async function measureStandard(fetch) {
  await measureFetch(
    async () => checkHello(await (await fetch(url)).text()),
    async () => {
      const init = { method: "POST", headers: JSON_TYPE, body: JSON_BODY };
      checkSum(await (await fetch(`${url}json`, init)).json());
    },
    async () => checkLarge((await (await fetch(`${url}large`)).arrayBuffer()).byteLength),
  );
}
