/** threads_handler.ts: what each thread of threads.ts runs. */
import { type ConnHandler, type SocketConn, type ThreadInfo, threads, transfer } from "coronet";

const serve: ConnHandler = async (conn, info) => {
  await conn.write(`thread ${info.id} has accepted you\n`);
  // On to the next thread: it goes on where this one stopped.
  const others = threads().filter((thread) => thread.id !== info.id);
  const [next] = others;
  if (next !== undefined) await transfer(conn, next, `greetings from thread ${info.id}`);
};
export default serve;

export async function receive(conn: SocketConn, info: ThreadInfo, message: string): Promise<void> {
  await conn.write(`thread ${info.id} goes on: ${message}\n`);
  for await (const chunk of conn) await conn.write(chunk);
}
