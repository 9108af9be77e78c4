// Echo on Coronet: one goroutine per connection.
import { go, listen } from "../../dist/src/index.js";
import { serverOptions } from "./options.mjs";

const { host, port } = serverOptions(process.argv.slice(2));

async function echo(conn) {
  try {
    for await (const chunk of conn) await conn.write(chunk);
  } finally {
    await conn.close();
  }
}

const listener = await listen("tcp", `${host}:${port}`);
const address = String(listener.addr);
console.log(`listening ${address.slice(address.lastIndexOf(":") + 1)}`);
for await (const conn of listener) go(echo, conn);
