// Reactor threads: --case cpu compares two threads with one; --case moves measures transfers.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { parseArgs } from "node:util";
import { dial, go, sleep, startThreads } from "../../../dist/src/index.js";

const { values } = parseArgs({
  options: {
    case: { type: "string" },
    seconds: { type: "string" },
    warmup: { type: "string" },
    conns: { type: "string" },
  },
});
const [seconds, warmup] = [Number(values.seconds), Number(values.warmup)];
const listen = ["tcp", "127.0.0.1:0"];

/** Requests per second that so many threads answer. */
async function rate(threads) {
  const module = new URL("./cpu_module.mjs", import.meta.url);
  const set = await startThreads({ threads, module, listen, accept: "placed" });
  let answers = 0;
  let asking = true;
  const client = async () => {
    const conn = await dial("tcp", String(set.addr));
    const byte = new Uint8Array(1);
    while (asking) {
      await conn.write(byte);
      await conn.read(byte);
      answers++;
    }
    await conn.close();
  };
  const clients = Array.from({ length: 8 }, () => go(client));
  await sleep(warmup * 1000);
  const began = performance.now();
  const before = answers;
  await sleep(seconds * 1000);
  const rate = (answers - before) / ((performance.now() - began) / 1000);
  asking = false;
  await Promise.all(clients.map((each) => each.join()));
  await set.close();
  return rate;
}

const programs = {
  async cpu() {
    const one = await rate(1);
    const two = await rate(2);
    return { one, two, speedup: two / one };
  },

  async moves() {
    const most = 200_000;
    const times = [0, 1].map(() => new SharedArrayBuffer(most * 8));
    const counts = new SharedArrayBuffer(16);
    const words = new Int32Array(counts);
    const module = new URL("./moves_module.mjs", import.meta.url);
    const data = { times, counts };
    const set = await startThreads({ threads: 2, module, listen, accept: "placed", data });
    const file = new URL("./peers.mjs", import.meta.url).pathname;
    const peers = spawn(process.execPath, [file, String(set.addr), values.conns, "2000"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(peers.stdout, "data");
    Atomics.store(words, 2, 1);
    await sleep(warmup * 1000);
    const from = [words[0], words[1]];
    await sleep(seconds * 1000);
    const all = times.flatMap((each, i) => {
      const count = Math.min(words[i], most);
      return [...new Float64Array(each).subarray(Math.min(from[i], count), count)];
    });
    Atomics.store(words, 2, 0);
    if (peers.exitCode !== null) throw new Error(`the peers ended with ${peers.exitCode}`);
    const { live, lost } = set.stats();
    peers.kill();
    all.sort((a, b) => a - b);
    const at = (share) => all[Math.floor(all.length * share)] * 1000;
    await set.close();
    return { rate: all.length / seconds, p50: at(0.5), p99: at(0.99), live, lost };
  },
};

console.log(JSON.stringify(await programs[values.case]()));
