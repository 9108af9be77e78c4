// Echoes on connections that it moves to the other thread, one after the other, and notes how long
// each move took: from the call of transfer until the other thread has taken the connection.
import { go, threads, transfer } from "../../../dist/src/index.js";

/** Connections that are here, with what ends their reads; the one that is longest here first. */
const held = new Map();
let wake;

export async function start({ data, index, signal }) {
  const times = new Float64Array(data.times[index]);
  const counts = new Int32Array(data.counts);
  go(async () => {
    while (!signal.aborted) {
      if (Atomics.load(counts, 2) === 0 || held.size === 0) {
        await new Promise((resolve) => {
          wake = resolve;
          setTimeout(resolve, 1);
        });
        continue;
      }
      const [conn, move] = held.entries().next().value;
      held.delete(conn);
      const took = await move();
      if (took !== undefined) times[Atomics.add(counts, index, 1) % times.length] = took;
    }
  });
}

async function serve(conn, info) {
  const stop = new AbortController();
  let moved;
  const done = new Promise((resolve) => {
    moved = resolve;
  });
  held.set(conn, () => {
    stop.abort();
    return done;
  });
  wake?.();
  const { signal } = stop;
  const buffer = new Uint8Array(64);
  try {
    for (let n = await conn.read(buffer, { signal }); n !== null; ) {
      await conn.write(buffer.subarray(0, n));
      n = await conn.read(buffer, { signal });
    }
  } catch (error) {
    if (error.code === "ERR_CANCELED") {
      const other = threads().find((thread) => thread.id !== info.id);
      const began = performance.now();
      await transfer(conn, other);
      moved(performance.now() - began);
      return;
    }
    throw error;
  } finally {
    held.delete(conn);
    moved(undefined);
  }
}

export default serve;
