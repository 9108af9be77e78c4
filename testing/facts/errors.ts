/** errors.ts: facts about what an error tells: what was done, between whom, and from where. */
import assert from "node:assert/strict";
import type { Conn, NetError } from "../../src/index.ts";
import { failure, nextChunk, turn, writeTooMuch } from "../support.ts";
import type { FactTable } from "./fact.ts";

/** The caller whose name has to be in the stack of an error. */
async function userFunction(operation: () => Promise<unknown>): Promise<void> {
  await operation();
}

async function userLoop(conn: Conn): Promise<void> {
  for await (const _ of conn);
}

function assertStack(error: NetError, frame = "userFunction"): void {
  assert.match(error.stack ?? "", new RegExp(`at (async )?${frame}\\b`));
}

async function failsFor(operation: () => Promise<unknown>, code: string): Promise<void> {
  assertStack(await failure(userFunction(operation), code));
}

export const errors = {
  "a stream that is cut off is an error to every read, never the end": async ({ a, b, t, cut }) => {
    if (cut === undefined) return t.skip("nothing says whether the end is the peer's");
    const waiting = nextChunk(b);
    await a.write("first");
    assert.equal(String(Buffer.from((await waiting) ?? [])), "first");
    const cutOff = failure(b.read(new Uint8Array(5)), "ERR_TLS_TRUNCATED");
    await cut(a);
    assert.match((await cutOff).message, /cut off/);
    await failure(b.read(new Uint8Array(5)), "ERR_TLS_TRUNCATED");
    await failure(nextChunk(b), "ERR_TLS_TRUNCATED");
  },

  "an error tells operation, network, both addresses and what happened": async ({ a, b }) => {
    const [source, address] = [String(a.localAddr), String(a.remoteAddr)];
    a.setDeadline(new Date(0));
    const read = await failure(a.read(new Uint8Array(1)), "ERR_DEADLINE");
    const write = await failure(a.write("x"), "ERR_DEADLINE");
    const wait = await failure(a.waitReadable(), "ERR_DEADLINE");
    assert.deepEqual([read.op, write.op, wait.op], ["read", "write", "wait"]);
    for (const error of [read, write, wait]) {
      assert.equal(error.name, "NetError");
      assert.ok(error.network.startsWith(a.localAddr.network), error.network);
      assert.equal(error.source, source);
      assert.equal(error.address, address);
      assert.equal(error.timeout, true);
      assert.ok(error.message.startsWith(`${error.op} ${error.network}`), error.message);
      assert.ok(error.message.includes(source) && error.message.includes(address), error.message);
      assert.ok(error.message.includes("(ERR_DEADLINE)"), error.message);
    }
    assert.equal(typeof String(b.remoteAddr), "string");
  },

  "an error of a waiting operation names the addresses, also when close was its end": async ({
    a,
  }) => {
    const reading = a.read(new Uint8Array(1));
    const writing = writeTooMuch(a);
    await turn();
    await a.close();
    const [source, address] = [String(a.localAddr), String(a.remoteAddr)];
    for (const error of [
      await failure(reading, "ERR_CLOSED"),
      await failure(writing, "ERR_CLOSED"),
    ]) {
      assert.equal(error.source, source);
      assert.equal(error.address, address);
      assert.ok(!/0\.0\.0\.0:0/.test(error.message), error.message);
    }
  },

  "an error at once has its caller in the stack": async ({ a }) => {
    const options = { signal: AbortSignal.abort() };
    await failsFor(() => a.read(new Uint8Array(1), options), "ERR_CANCELED");
    await failsFor(() => a.write("x", options), "ERR_CANCELED");
    await failsFor(() => a.writev(["x"], options), "ERR_CANCELED");
    await failsFor(() => a.waitReadable(options), "ERR_CANCELED");
    await a.closeWrite();
    await failsFor(() => a.write("x"), "EPIPE");
    await a.close();
    await failsFor(() => a.read(new Uint8Array(1)), "ERR_CLOSED");
    await failsFor(() => nextChunk(a), "ERR_CLOSED");
    await failsFor(() => a.closeWrite(), "ERR_CLOSED");
    assertStack(await failure(userLoop(a), "ERR_CLOSED"), "userLoop");
  },

  "an error after waiting has its caller in the stack": async ({ a, b }) => {
    const reading = failsFor(() => a.read(new Uint8Array(1)), "ERR_CLOSED");
    const waiting = failsFor(() => a.waitReadable(), "ERR_CLOSED");
    const writing = failsFor(() => writeTooMuch(a), "ERR_CLOSED");
    const vector = failsFor(() => a.writev(["x"]), "ERR_CLOSED");
    const loop = failure(userLoop(b), "ERR_DEADLINE");
    await turn();
    b.setReadDeadline(new Date(0));
    assertStack(await loop, "userLoop");
    await a.close();
    await Promise.all([reading, waiting, writing, vector]);
  },

  "an error that the peer caused has its caller in the stack": async ({ a, b, reset }) => {
    const reading = failsFor(() => a.read(new Uint8Array(1)), "ECONNRESET");
    await turn();
    await reset(b, a);
    await reading;
    assertStack(await failure(userLoop(a), "ECONNRESET"), "userLoop");
  },

  "an error that nobody awaits yet is no unhandled rejection once it is awaited": async ({ a }) => {
    const reading = a.read(new Uint8Array(1));
    const closed = a.close();
    await failure(reading, "ERR_CLOSED");
    await closed;
  },
} satisfies FactTable;
