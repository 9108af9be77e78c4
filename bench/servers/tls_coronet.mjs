// Echo over TLS on Coronet: one goroutine per connection.
import { go, tlsListen } from "../../dist/src/index.js";
import { serverOptions } from "./options.mjs";
import { pair } from "./tls_pair.mjs";

const { host, port } = serverOptions(process.argv.slice(2));

async function echo(conn) {
  try {
    for await (const chunk of conn) await conn.write(chunk);
  } catch {
    // The client is gone.
  } finally {
    await conn.close();
  }
}

const listener = await tlsListen("tcp", `${host}:${port}`, pair());
const address = String(listener.addr);
console.log(`listening ${address.slice(address.lastIndexOf(":") + 1)}`);
for await (const conn of listener) go(echo, conn);
