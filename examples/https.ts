// run:
// expect: http/1.1 over TLSv1.3
// expect: hello from https://localhost
// expect: over HTTP/2: hello from https://localhost
/**
 * https.ts: a server over TLS, asked by fetch over HTTP/1.1 and by node:http2 over HTTP/2.
 *
 *   node dist/examples/https.js
 */
import { once } from "node:events";
import { connect } from "node:http2";
import { closeIdle, type TCPAddr, type TlsConn } from "coronet";
import { fetch, Response, serve } from "coronet/http";
import { selfSigned } from "coronet/testing"; // in life: an authority's certificate

const { cert, key } = selfSigned("localhost");

const server = await serve(
  "127.0.0.1:0",
  (request, info) => {
    const { protocol, alpnProtocol } = info.conn as TlsConn;
    const { hostname } = new URL(request.url);
    const headers = { "x-spoken": `${alpnProtocol} over ${protocol}` };
    return new Response(`hello from https://${hostname}`, { headers });
  },
  { tls: { cert, key } },
);
const url = `https://localhost:${(server.addr as TCPAddr).port}`;

const answer = await fetch(url, { tls: { ca: cert } });
console.log(answer.headers.get("x-spoken"));
console.log(await answer.text());
closeIdle();

const session = connect(url, { ca: cert });
const stream = session.request({ ":path": "/" });
const [chunk] = await once(stream, "data");
console.log(`over HTTP/2: ${chunk}`);
session.close();
await server.shutdown();
