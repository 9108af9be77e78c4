// Files on Bun.serve, by Bun.file.
import { join, normalize } from "node:path";
import { root } from "./files_root.mjs";
import { serverOptions } from "./options.mjs";

const { host, port } = serverOptions(process.argv.slice(2));

const server = Bun.serve({
  hostname: host,
  port,
  fetch(request) {
    const { pathname } = new URL(request.url);
    return new Response(Bun.file(join(root, normalize(pathname))));
  },
});

console.log(`listening ${server.port}`);
