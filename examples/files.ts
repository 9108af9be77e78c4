// run:
// expect: GET /: <h1>home</h1>
// expect: bytes 6-10 of /notes.txt: world
// expect: /../secret: 404
/**
 * files.ts: a server of files with an access log.
 *
 *   node dist/examples/files.js                              shows itself with a client, and ends
 *   node dist/examples/files.js --port 8080 --root public    serves a folder; one line per request
 */
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { serve, serveFiles } from "coronet/http";

const { values } = parseArgs({
  options: { port: { type: "string", default: "0" }, root: { type: "string" } },
});

/** Names with a hash in them never change: browsers need not ask again. */
function cacheControl(path: string): string {
  return /\.[0-9a-f]{8,}\./.test(path) ? "max-age=31536000, immutable" : "no-cache";
}

const options = { cacheControl, precompressed: true };
if (values.root !== undefined) {
  const files = serveFiles(values.root, options);
  await using server = await serve(`127.0.0.1:${values.port}`, files, { accessLog: "/dev/stdout" });
  console.log(`serving ${values.root} on http://${server.addr}`);
  await once(process, "SIGINT");
} else {
  const folder = await mkdtemp(join(tmpdir(), "coronet-files-"));
  const root = join(folder, "public");
  await mkdir(root);
  await writeFile(join(root, "index.html"), "<h1>home</h1>");
  await writeFile(join(root, "notes.txt"), "hello world");
  await writeFile(join(folder, "secret"), "not for everybody");
  await using server = await serve("127.0.0.1:0", serveFiles(root, options));
  const base = `http://${server.addr}`;
  console.log(`GET /: ${await (await fetch(base)).text()}`);
  const part = await fetch(`${base}/notes.txt`, { headers: { range: "bytes=6-" } });
  console.log(`bytes 6-10 of /notes.txt: ${await part.text()}`);
  console.log(`/../secret: ${(await fetch(`${base}/..%2fsecret`)).status}`);
  await rm(folder, { recursive: true });
}
