/** tls_threads.test.ts: threads that speak TLS: terminated in the middle of it, and resumed by one another. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { createSecureContext, dialTls } from "../src/index.ts";
import { onNodeTls } from "../testing/backend.ts";
import { selfSigned } from "../testing/certificates.ts";
import { openFds } from "../testing/leaks.ts";
import { readText } from "../testing/support.ts";
import { programPath } from "./child.ts";

const { cert, key } = selfSigned("127.0.0.1");
const ROUNDS = Number(process.env.CORONET_TERMINATIONS ?? 10);

async function serving(ticketKeys?: Uint8Array[]): Promise<[Worker, string]> {
  const workerData = ticketKeys === undefined ? { cert, key } : { cert, key, ticketKeys };
  const worker = new Worker(programPath("tls_worker"), { workerData });
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
  if (onNodeTls) return t.skip("node:tls has keys for each context");
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

test("tickets outlive a rotation of keys as long as the old one opens, whichever thread", async (t) => {
  if (onNodeTls) return t.skip("node:tls takes one key");
  const [old, fresh, other] = [1, 2, 3].map((byte) => new Uint8Array(48).fill(byte)) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  const threads = await Promise.all(
    [[old], [fresh, old], [fresh], [other]].map((keys) => serving(keys)),
  );
  for (const maxVersion of ["TLSv1.3", "TLSv1.2"] as const) {
    const secureContext = createSecureContext({ ca: cert, maxVersion });
    let session: Uint8Array | undefined;
    const reused: boolean[] = [];
    for (const [, address] of threads) {
      const options = session === undefined ? { secureContext } : { secureContext, session };
      await using conn = await dialTls("tcp", address, options);
      await conn.write("hello");
      assert.equal(await readText(conn, 5), "hello");
      reused.push(conn.sessionReused);
      session = conn.session;
    }
    // The second one opened it with the old key and sealed it with the new one, which the third has.
    assert.deepEqual(reused, [false, true, true, false], maxVersion);
  }
  for (const [worker] of threads) await worker.terminate();
});
