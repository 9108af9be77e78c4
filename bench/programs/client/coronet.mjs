// Coronet's connect(): a connection out of the pool for every request, and back.
import { connect } from "../../../dist/src/index.js";
import {
  address,
  CONNECTIONS,
  check,
  GOROUTINES,
  measureClient,
  PIPELINE,
  REQUEST,
  REQUESTS,
} from "./load.mjs";

const options = { poolSize: CONNECTIONS, backlog: GOROUTINES };

/** Asks with a connection of its own; one that fails is closed. */
async function withConnection(ask) {
  const conn = await connect(address, options);
  try {
    await ask(conn);
    conn.setKeepalive();
  } finally {
    await conn.close();
  }
}

async function one(conn) {
  await conn.write(REQUEST);
  check(await conn.readLine());
}

async function many(conn) {
  await conn.write(REQUESTS);
  for (let i = 0; i < PIPELINE; i++) check(await conn.readLine());
}

await measureClient(
  () => withConnection(one),
  () => withConnection(many),
);
