// Echo on Deno.listen: one async function per connection that reads into its own buffer.
import { serverOptions } from "./options.mjs";

const { host, port, buffer: bufferSize } = serverOptions(Deno.args);

async function writeAll(conn: Deno.Conn, chunk: Uint8Array) {
  let written = 0;
  while (written < chunk.byteLength) written += await conn.write(chunk.subarray(written));
}

async function echo(conn: Deno.TcpConn) {
  conn.setNoDelay(true);
  const buffer = new Uint8Array(bufferSize);
  try {
    for (;;) {
      const n = await conn.read(buffer);
      if (n === null) break;
      await writeAll(conn, buffer.subarray(0, n));
    }
  } catch {
    // The peer reset the connection.
  } finally {
    conn.close();
  }
}

const listener = Deno.listen({ hostname: host, port });
console.log(`listening ${listener.addr.port}`);
for await (const conn of listener) void echo(conn);
