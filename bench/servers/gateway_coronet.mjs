// A reverse proxy on Coronet.
import { reverseProxy, serve } from "../../dist/src/http/index.js";
import { gatewayOptions } from "./options.mjs";

const { host, port, upstream } = gatewayOptions(process.argv.slice(2));
const proxy = reverseProxy({ upstreams: [`http://${upstream}`] });
const server = await serve(`${host}:${port}`, proxy);
const address = String(server.addr);
console.log(`listening ${address.slice(address.lastIndexOf(":") + 1)}`);
