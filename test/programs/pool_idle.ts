/**
 * Gives a connection back to its pool. Then it has no more to do ("end"), or a goroutine waits for what
 * never comes ("deadlock"), or for a place in a pool that nobody gives back ("place").
 */
import { Chan, connect, go, listen } from "../../src/index.ts";

const listener = await listen("unix", `@coronet-pool-idle-${process.pid}`);
const address = String(listener.addr);
const options = { poolSize: 1, backlog: 1 };
const conn = await connect(address, options);
const peer = await listener.accept();
const [, , what] = process.argv;
if (what === "place") {
  go(async () => {
    await connect(address, options);
  });
} else {
  conn.setKeepalive();
  if (what === "deadlock") go(() => new Chan<number>().receive());
}
console.log(`done, ${peer.remoteAddr.network}`);
