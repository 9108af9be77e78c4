/** framed.ts: a module for servers of tests that take messages: each comes back with its length. */
import type { MessageHandler } from "../../src/index.ts";

const handle: MessageHandler = async (message, peer) => {
  await peer.write(`${message.length}:${Buffer.from(message)}`);
};

export default handle;
