/** Serves the files of a folder until its standard input ends; its system calls are traced. */
import { serve, serveFiles } from "../../src/http/index.ts";

await using server = await serve("127.0.0.1:0", serveFiles(process.argv[2] as string));
console.log(String(server.addr));
for await (const _ of process.stdin);
