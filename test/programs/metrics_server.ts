/** A server with two processes as workers, whose metrics are on one page. Prints both addresses. */
import { metrics } from "../../src/debug/index.ts";
import { serve } from "../../src/http/index.ts";
import { createServer } from "../../src/index.ts";

const server = await createServer({
  module: new URL("./served.js", import.meta.url),
  listen: [["tcp", "127.0.0.1:0"]],
  model: "process",
  workers: 2,
});
const exported = await metrics({ server });
const page = await serve("127.0.0.1:0", exported.handler);
console.log(`${server.addrs[0]} ${page.addr}`);
process.stdin
  .on("end", async () => {
    await page.close();
    exported.stop();
    await server.stop();
  })
  .resume();
