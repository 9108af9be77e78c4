/** batches.ts: sends and receives ten batches of 64 datagrams, for datagrams.test.ts to count calls. */
import { listenPacket } from "../../src/index.ts";

await using a = await listenPacket("udp4", "127.0.0.1:0");
await using b = await listenPacket("udp4", "127.0.0.1:0");
const messages = Array.from({ length: 64 }, (_, i) => ({ data: "x".repeat(i), addr: b.localAddr }));
let count = 0;
for (let i = 0; i < 10; i++) {
  await a.writeBatch(messages);
  count += (await b.readBatch()).length;
}
for (let i = 0; i < 10; i++) {
  await a.writeBatch(messages);
  for await (const _ of b) if (++count % 64 === 0) break;
}
console.log(count);
