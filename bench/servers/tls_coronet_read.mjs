// Echo over TLS on Coronet: one goroutine and one read buffer per connection, as Go's program has them.
import { go, tlsListen } from "../../dist/src/index.js";
import { serverOptions } from "./options.mjs";
import { pair } from "./tls_pair.mjs";

const { host, port, buffer: size } = serverOptions(process.argv.slice(2));

async function echo(conn) {
  const buffer = new Uint8Array(size);
  try {
    for (;;) {
      const n = await conn.read(buffer);
      if (n === null) break;
      await conn.write(buffer.subarray(0, n));
    }
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
