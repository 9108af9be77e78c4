/**
 * tunnel.ts: two connections that speak to each other from now on. Between two sockets the bytes stay in
 * the kernel.
 */
import { copy } from "../../io/copy.ts";
import type { Conn } from "../../net/conn.ts";

/** How long one direction may go on in silence when the other has ended, in ms. */
const LAST_WORDS_MS = 30_000;

/** Passes everything both ways until both sides have ended, or one of them breaks off. Never throws. */
export async function tunnel(a: Conn, b: Conn): Promise<void> {
  const closeBoth = async (): Promise<void> => {
    await Promise.all([a.close(), b.close()]);
  };
  const pass = async (from: Conn, to: Conn): Promise<void> => {
    try {
      await copy(to, from);
      await to.closeWrite();
      to.setTimeouts({ read: LAST_WORDS_MS });
    } catch {
      // One that breaks off takes the other along.
      await closeBoth();
    }
  };
  await Promise.all([pass(a, b), pass(b, a)]);
  await closeBoth();
}
