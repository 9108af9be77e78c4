/** proxying.ts: a reverse proxy before the upstream that it is given, until its standard input ends. */
import { reverseProxy, serve } from "../../src/http/index.ts";

using proxy = reverseProxy({ upstreams: [process.argv[2] as string] });
await using server = await serve("127.0.0.1:0", proxy);
console.log(String(server.addr));
for await (const _ of process.stdin) {
  // Nothing is said there.
}
