/**
 * tls_cut.test.ts: handshakes that end at a random byte, by seed: nothing is left behind.
 *
 * A relay stands between client and server and closes both after so many bytes; CORONET_HANDSHAKES=100000
 * does it more often.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Conn,
  createSecureContext,
  dial,
  dialTls,
  go,
  listen,
  NetError,
  type TlsConn,
  tlsListen,
} from "../src/index.ts";
import { makeCertificate } from "../testing/certificates.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { seeded } from "../testing/support.ts";

const HANDSHAKES = Number(process.env.CORONET_HANDSHAKES ?? 300);
/** A whole handshake in TLS 1.3, with all that either side sends afterwards, is about so long. */
const LONGEST = 2200;
const AT_ONCE = 8;
/** So much may the process grow, in bytes: what a leak of one SSL object each (over 10 kB) would pass. */
const GROWTH = 24 << 20;

async function shuttle(from: Conn, to: Conn, budget: { left: number }): Promise<void> {
  try {
    for await (const chunk of from) {
      const part = chunk.subarray(0, budget.left);
      budget.left -= part.length;
      await to.write(part);
      if (budget.left <= 0) break;
    }
    if (budget.left > 0) await to.closeWrite();
  } catch {
    budget.left = 0;
  }
  if (budget.left > 0) return;
  await from.close();
  await to.close();
}

test(
  "handshakes that are cut at a random byte leave nothing behind",
  { timeout: 60_000 + HANDSHAKES * 10 },
  (t) =>
    withLeakCheck(t, async () => {
      const random = seeded(t);
      const authority = makeCertificate({ commonName: "Authority", isCA: true });
      const leaf = makeCertificate({ names: ["127.0.0.1"], issuer: authority });
      const clients = createSecureContext({ ca: authority.cert });
      await using listener = await tlsListen("tcp", "127.0.0.1:0", leaf);
      const serving = new Set<Promise<unknown>>();
      const serve = async (conn: TlsConn): Promise<void> => {
        await using _ = conn;
        for await (const chunk of conn) await conn.write(chunk);
      };
      const accepting = go(async () => {
        for await (const conn of listener) {
          const served: Promise<unknown> = serve(conn).then(
            () => serving.delete(served),
            (error: unknown) => {
              serving.delete(served);
              assert.ok(error instanceof NetError, String(error));
            },
          );
          serving.add(served);
        }
      });
      await using relay = await listen("tcp", "127.0.0.1:0");
      const relaying = go(async () => {
        for await (const near of relay) {
          const far = await dial("tcp", String(listener.addr));
          // Half of them are not cut.
          const budget = { left: random.chance(0.5) ? random.below(LONGEST) : 1 << 30 };
          const both = [shuttle(near, far, budget), shuttle(far, near, budget)];
          void Promise.all(both).then(async () => {
            await near.close();
            await far.close();
          });
        }
      });

      let whole = 0;
      const visit = async (): Promise<void> => {
        try {
          await using conn = await dialTls("tcp", String(relay.addr), { secureContext: clients });
          await conn.write("hello");
          const buffer = new Uint8Array(5);
          for (let n = 0; n < 5; ) n += (await conn.read(buffer.subarray(n))) ?? assert.fail("end");
          assert.equal(Buffer.from(buffer).toString(), "hello");
          whole++;
        } catch (error) {
          if (!(error instanceof NetError)) throw error;
        }
      };
      let begun = 0;
      const worker = async (most: number): Promise<void> => {
        while (begun++ < most) await visit();
      };
      const many = async (most: number): Promise<void> => {
        begun = 0;
        await Promise.all(Array.from({ length: AT_ONCE }, () => worker(most)));
      };
      await many(HANDSHAKES / 4);
      whole = 0;
      const before = process.memoryUsage().rss;
      await many(HANDSHAKES);
      const grown = process.memoryUsage().rss - before;
      t.diagnostic(`${whole} of ${HANDSHAKES} whole, grown by ${grown >> 10} KiB`);
      assert.ok(whole > HANDSHAKES / 4 && whole < HANDSHAKES);
      if (HANDSHAKES >= 10_000) assert.ok(grown < GROWTH, `the process grew by ${grown} bytes`);
      await relay.close();
      await listener.close();
      await Promise.all([accepting.join(), relaying.join(), ...serving]);
    }),
);
