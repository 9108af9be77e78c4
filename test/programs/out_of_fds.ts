/**
 * A server with fewer file descriptors than it gets connections. Serves each with its number when it
 * says "done", and says how many it accepted when all are gone.
 */
import { type Conn, dial, go, listen, stats } from "../../src/index.ts";
import { openFds } from "../../testing/leaks.ts";

const CLIENTS = 240;
const listener = await listen("tcp", "127.0.0.1:0");
console.log(String(listener.addr));

let served = 0;
let last = -1;

async function serve(conn: Conn): Promise<void> {
  await using _ = conn;
  let text = "";
  for await (const chunk of conn) {
    text += Buffer.from(chunk).toString();
    if (text.endsWith("done")) break;
  }
  const [number] = text.split("\n");
  await conn.write(`served ${number}\n`);
  if (++served === CLIENTS) await listener.close();
}

/** Says once that the descriptors are used up: accepting stands still although clients wait. */
function watch(): void {
  const timer = setInterval(() => {
    const { open } = stats();
    if (open === last && open > 10 && openFds().size === 0) {
      clearInterval(timer);
      dial("tcp", String(listener.addr)).catch((error) =>
        console.log(`out of fds: ${error.message}`),
      );
    }
    last = open;
  }, 20);
}

watch();
let accepted = 0;
for await (const conn of listener) {
  accepted++;
  go(serve, conn);
}
console.log(`accepted ${accepted}`);
