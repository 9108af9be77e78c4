// The other ends of connections that are moved about: each sends 64 bytes now and then and compares
// what comes back. Arguments: address, connections, messages per second in all.
import { dial, go, sleep } from "../../../dist/src/index.js";

const BATCH = 200;
const [address, count, rate] = process.argv.slice(2);

async function talk(conn, number) {
  const pause = (Number(count) / Number(rate)) * 1000;
  const [out, back] = [new Uint8Array(64), new Uint8Array(64)];
  await sleep(Math.random() * pause);
  for (let i = 0; ; i++) {
    out.fill(number * 31 + i * 7);
    out[i % 64] = i;
    await conn.write(out);
    for (let have = 0; have < 64; ) {
      const n = await conn.read(back.subarray(have));
      if (n === null) return;
      have += n;
    }
    if (Buffer.compare(out, back) !== 0) throw new Error(`connection ${number} got other bytes`);
    await sleep(pause);
  }
}

const conns = [];
while (conns.length < Number(count)) {
  const left = Math.min(BATCH, Number(count) - conns.length);
  conns.push(...(await Promise.all(Array.from({ length: left }, () => dial("tcp", address)))));
}
conns.forEach((conn, number) => {
  go(talk, conn, number);
});
console.log("ready");
