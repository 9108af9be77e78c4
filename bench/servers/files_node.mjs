// Files on node:http, as its users write it: a stream that is piped.
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { join, normalize } from "node:path";
import { pipeline } from "node:stream";
import { root } from "./files_root.mjs";
import { serverOptions } from "./options.mjs";

const { host, port } = serverOptions(process.argv.slice(2));

const server = createServer(async (request, response) => {
  const path = join(root, normalize(request.url));
  try {
    const { size, mtime } = await stat(path);
    response.writeHead(200, {
      "content-type": "application/octet-stream",
      "content-length": size,
      "last-modified": mtime.toUTCString(),
    });
    pipeline(createReadStream(path), response, () => {});
  } catch {
    response.writeHead(404).end();
  }
});

server.listen({ host, port, backlog: 4096 }, () => {
  console.log(`listening ${server.address().port}`);
});
