/** tls_threads.test.ts: threads that speak TLS: terminated in the middle of it, and resumed by one another. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { createSecureContext, dialTls } from "../src/index.ts";
import { onPortable } from "../testing/backend.ts";
import { selfSigned } from "../testing/certificates.ts";
import { openFds } from "../testing/leaks.ts";
import { readText } from "../testing/support.ts";
import { programPath } from "./child.ts";

const { cert, key } = selfSigned("127.0.0.1");
const ROUNDS = Number(process.env.CORONET_TERMINATIONS ?? 10);

async function serving(): Promise<[Worker, string]> {
  const worker = new Worker(programPath("tls_worker"), { workerData: { cert, key } });
  const [address] = (await once(worker, "message")) as [string];
  return [worker, address];
}

test("a thread that is terminated in the middle of TLS leaves nothing behind", async () => {
  const [first] = await serving();
  await first.terminate();
  const before = openFds().size;
  for (let i = 0; i < ROUNDS; i++) {
    const [worker] = await serving();
    await worker.terminate();
  }
  assert.ok(openFds().size <= before + 2, `${openFds().size} fds, ${before} before`);
});

test("a session that one thread began is resumed by another", async (t) => {
  if (onPortable) return t.skip("node:tls has keys for each context");
  const threads = await Promise.all([serving(), serving()]);
  const secureContext = createSecureContext({ ca: cert });
  let session: Uint8Array | undefined;
  for (const [, address] of threads) {
    const options = session === undefined ? { secureContext } : { secureContext, session };
    await using conn = await dialTls("tcp", address, options);
    await conn.write("hello");
    assert.equal(await readText(conn, 5), "hello");
    assert.equal(conn.sessionReused, session !== undefined);
    session = conn.session;
  }
  for (const [worker] of threads) await worker.terminate();
});
