// undici's request, which does without the standard's objects, on a pool.
import { Pool } from "undici";
import {
  address,
  checkHello,
  checkLarge,
  checkSum,
  GOROUTINES,
  JSON_BODY,
  JSON_TYPE,
  measureFetch,
} from "./load.mjs";

const pool = new Pool(`http://${address}`, { connections: GOROUTINES });

async function get(path) {
  const { body } = await pool.request({ method: "GET", path });
  return body;
}

await measureFetch(
  async () => checkHello(await (await get("/")).text()),
  async () => {
    const options = { method: "POST", path: "/json", headers: JSON_TYPE, body: JSON_BODY };
    checkSum(await (await pool.request(options)).body.json());
  },
  async () => checkLarge((await (await get("/large")).arrayBuffer()).byteLength),
);
