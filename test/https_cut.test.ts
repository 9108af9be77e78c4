/**
 * https_cut.test.ts: HTTPS over connections that are reset, or end, at random places, by seed: whoever gets
 * a body has all of it, or an error, and nothing is left behind on either side.
 *
 * A relay below TLS stands between client and server; CORONET_FUZZ=10000 does it more often.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import {
  Client,
  FetchError,
  type Handler,
  Response,
  serve,
  serveFiles,
} from "../src/http/index.ts";
import {
  type Conn,
  closeIdle,
  dial,
  go,
  listen,
  NetError,
  type TCPAddr,
  type TCPConn,
} from "../src/index.ts";
import type { Random } from "../src/internal/random.ts";
import { onNodeTls } from "../testing/backend.ts";
import { selfSigned } from "../testing/certificates.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { seeded } from "../testing/support.ts";
import { until } from "./served.ts";

const ROUNDS = Number(process.env.CORONET_FUZZ ?? 150);
const AT_ONCE = 6;
/** Bodies are up to so long; what a connection carries besides is about so long. */
const LONGEST = 150_000;
const BESIDES = 4_000;
/** How long a client may take to see that its connection is gone, in ms. */
const NOTICED_MS = 100;
const WAYS = ["/memory", "/stream", "/files/body", "/echo"] as const;

const { cert, key } = selfSigned("localhost", "127.0.0.1");
const BYTES = Buffer.alloc(LONGEST, "coronet ");

/** What the relay does to a connection when its budget is used up. */
type Cut = "reset the client" | "reset the server" | "reset both" | "end both";
const CUTS: readonly Cut[] = ["reset the client", "reset the server", "reset both", "end both"];

class Pair {
  cutDone = false;
  private readonly near: TCPConn;
  private readonly far: TCPConn;
  private left: number;
  private readonly cut: Cut;

  constructor(near: TCPConn, far: TCPConn, left: number, cut: Cut) {
    this.near = near;
    this.far = far;
    this.left = left;
    this.cut = cut;
  }

  async run(): Promise<void> {
    await Promise.all([this.shuttle(this.near, this.far), this.shuttle(this.far, this.near)]);
    await this.end();
  }

  private async shuttle(from: Conn, to: Conn): Promise<void> {
    try {
      for await (const chunk of from) {
        const part = chunk.subarray(0, this.left);
        this.left -= part.length;
        await to.write(part);
        if (this.left <= 0) await this.end();
      }
      await to.closeWrite();
    } catch {
      await this.end();
    }
  }

  private async end(): Promise<void> {
    if (this.cutDone) return;
    this.cutDone = true;
    const { near, far, cut, left } = this;
    const resets = (conn: TCPConn, mine: Cut): void => {
      if (left <= 0 && (cut === mine || cut === "reset both")) conn.setLinger(0);
    };
    resets(near, "reset the client");
    resets(far, "reset the server");
    await Promise.all([near.close(), far.close()]);
  }
}

/** Asks for a body of so many bytes: false when that fails. Throws when it is another body. */
type Visit = (
  address: string,
  path: string,
  size: number,
  onGone: Map<number, () => void>,
) => Promise<boolean>;

/** A server behind a relay, and what went on at it. */
class Cutting {
  whole = 0;
  failed = 0;
  /** Bodies that are being made. */
  making = 0;
  readonly unexpected: unknown[] = [];
  /** Told that the relay has closed a client's connection, by the client's port. */
  readonly onGone = new Map<number, () => void>();
  readonly random: Random;
  private readonly folder: string;

  constructor(random: Random, folder: string) {
    this.random = random;
    this.folder = folder;
  }

  async run(visit: Visit): Promise<void> {
    const { random } = this;
    const files = serveFiles(this.folder, { prefix: "/files" });
    const handle: Handler = async (request) => {
      const { pathname, searchParams } = new URL(request.url);
      const size = Number(searchParams.get("size"));
      if (pathname === "/memory") return new Response(BYTES.subarray(0, size));
      if (pathname === "/stream") return new Response(this.parts(size));
      if (pathname === "/echo") return new Response(request.body);
      return await files(request);
    };
    await using server = await serve("127.0.0.1:0", handle, {
      tls: { cert, key },
      onError: (error, request) => {
        // A body that does not arrive is an error of the echo's.
        if (!request.url.includes("/echo")) this.unexpected.push(error);
      },
    });
    await using relay = await listen("tcp", "127.0.0.1:0");
    const pairs = new Set<Promise<void>>();
    const relaying = go(async () => {
      for await (const near of relay) {
        const far = await dial("tcp", String(server.addr));
        const budget = random.chance(0.8) ? 1 + random.below(LONGEST + BESIDES) : Infinity;
        const cut = CUTS[random.below(CUTS.length)] as Cut;
        const pair = new Pair(near as TCPConn, far as TCPConn, budget, cut).run();
        pairs.add(pair);
        const { port } = near.remoteAddr as TCPAddr;
        void pair.then(() => {
          pairs.delete(pair);
          this.onGone.get(port)?.();
        });
      }
    });
    let begun = 0;
    const visitor = async (): Promise<void> => {
      while (begun++ < ROUNDS) {
        const way = WAYS[random.below(WAYS.length)] as string;
        const size = way === "/files/body" ? LONGEST : 1 + random.below(LONGEST);
        if (await visit(String(relay.addr), `${way}?size=${size}`, size, this.onGone)) this.whole++;
        else this.failed++;
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, visitor));
    closeIdle();
    await until("every connection is gone", () => server.size === 0);
    await until("every body has ended", () => this.making === 0);
    assert.deepEqual(this.unexpected, []);
    assert.ok(this.whole > ROUNDS / 20, `${this.whole} whole`);
    assert.ok(this.failed > ROUNDS / 20, `${this.failed} failed`);
    // It is as good as before.
    assert.ok(await visit(String(server.addr), `/stream?size=${LONGEST}`, LONGEST, this.onGone));
    closeIdle();
    await relay.close();
    await relaying.join();
    await Promise.all(pairs);
  }

  private async *parts(size: number): AsyncGenerator<Uint8Array> {
    this.making++;
    try {
      for (let at = 0; at < size; ) {
        const end = Math.min(size, at + 1 + this.random.below(20_000));
        yield BYTES.subarray(at, end);
        at = end;
        if (this.random.chance(0.3)) await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      this.making--;
    }
  }
}

async function cutting(
  t: Parameters<typeof withLeakCheck>[0] & { diagnostic(message: string): void },
  visit: Visit,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "coronet-cut-"));
  await writeFile(join(folder, "body"), BYTES);
  try {
    await withLeakCheck(t, async () => {
      const cut = new Cutting(seeded(t), folder);
      await cut.run(visit);
      t.diagnostic(`${cut.whole} whole, ${cut.failed} failed`);
    });
  } finally {
    await rm(folder, { recursive: true });
  }
}

test("fetch over connections that are cut has a whole body or an error", async (t) => {
  // node:tls takes an end for the end; lengths and chunks tell all the same.
  if (onNodeTls) t.diagnostic("over node:tls");
  const client = new Client({ tls: { ca: cert } });
  await cutting(t, async (address, path, size) => {
    const body = BYTES.subarray(0, size);
    const upload = path.startsWith("/echo") ? { method: "POST", body } : {};
    try {
      const answer = await client.fetch(`https://${address}${path}`, upload);
      const got = await answer.bytes();
      // An upload that was cut is no whole request: its answer cannot be one either.
      assert.equal(answer.status, 200);
      assert.ok(body.equals(got), `${path}: ${got.length} bytes that are not the body`);
      return true;
    } catch (error) {
      if (error instanceof FetchError || error instanceof NetError) return false;
      throw error;
    } finally {
      if (path.length % 3 === 0) client.closeIdle();
    }
  });
  client.closeIdle();
});

test("a server of HTTP/2 over connections that are cut leaves nothing behind", async (t) => {
  await cutting(t, async (address, path, size, onGone) => {
    const body = BYTES.subarray(0, size);
    const [host, at] = address.split(":");
    const socket = connectTls({ host, port: Number(at), ca: cert, ALPNProtocols: ["h2"] });
    const session = connect(`https://${address}`, { createConnection: () => socket });
    session.on("error", () => {});
    let port = 0;
    session.once("connect", () => {
      port = socket.localPort as number;
      // node:http2 misses some resets that come while it writes, and keeps the socket then.
      const giveUp = (): void => {
        session.destroy(new Error("gone"));
        socket.destroy();
      };
      onGone.set(port, () => setTimeout(giveUp, NOTICED_MS).unref());
    });
    const streams = [1, 2].map(() => {
      const isEcho = path.startsWith("/echo");
      const stream = session.request({ ":path": path, ":method": isEcho ? "POST" : "GET" });
      let failed = false;
      const got: Buffer[] = [];
      stream.on("error", () => {
        failed = true;
      });
      stream.on("aborted", () => {
        failed = true;
      });
      stream.on("data", (chunk: Buffer) => got.push(chunk));
      if (isEcho) stream.end(body);
      return new Promise<boolean>((resolve, reject) => {
        stream.on("close", () => {
          const all = Buffer.concat(got);
          if (failed || stream.rstCode !== 0 || !stream.readableEnded) resolve(false);
          else if (body.equals(all)) resolve(true);
          else reject(new Error(`${path}: ${all.length} bytes that are not the body`));
        });
      });
    });
    try {
      return (await Promise.all(streams)).every(Boolean);
    } finally {
      const closed = new Promise((resolve) => session.once("close", resolve));
      if (!session.closed) session.close();
      if (!session.destroyed) await closed;
      onGone.delete(port);
      socket.destroy();
    }
  });
});
