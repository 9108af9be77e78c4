/** server_handler.ts: the module that server.ts runs in its workers: counts in words, line by line. */
import type { MessageHandler, WorkerInfo } from "coronet";

export function start(info: WorkerInfo): void {
  if (info.index === 0) console.log(`worker ${info.id} begins`);
}

const count: MessageHandler = async (message, peer) => {
  const words = Buffer.from(message).toString().trim().split(/\s+/);
  await peer.write(`${words.length} words, the longest has ${Math.max(...words.map(lengthOf))}`);
};

const lengthOf = (word: string): number => word.length;

export default count;
