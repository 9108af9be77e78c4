// Files on Coronet.
import { serve, serveFiles } from "../../dist/src/http/index.js";
import { root } from "./files_root.mjs";
import { serverOptions } from "./options.mjs";

const { host, port } = serverOptions(process.argv.slice(2));
const server = await serve(`${host}:${port}`, serveFiles(root));
const address = String(server.addr);
console.log(`listening ${address.slice(address.lastIndexOf(":") + 1)}`);
