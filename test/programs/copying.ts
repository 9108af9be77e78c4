/**
 * Copies what comes on the first connection to the second one, then a file; its system calls are traced.
 */
import { open } from "node:fs/promises";
import { copy, listen } from "../../src/index.ts";

await using listener = await listen("tcp", "127.0.0.1:0");
console.log(String(listener.addr));
await using src = await listener.accept();
await using dst = await listener.accept();
console.log(await copy(dst, src));
const file = await open(process.argv[2] as string);
console.log(await copy(dst, file));
await file.close();
