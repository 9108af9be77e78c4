/** support.ts: small things that tests of connections are made of. */
import assert from "node:assert/strict";
import { inspect } from "node:util";
import { type Conn, NetError } from "../src/index.ts";
import { Random } from "../src/internal/random.ts";

/** More bytes than any connection takes while its peer does not read. */
export const MORE_THAN_FITS = 32 << 20;

const zeros = new Uint8Array(MORE_THAN_FITS);

/** A write that has to wait until the peer reads. Its bytes are zeros. */
export function writeTooMuch(conn: Conn, options?: { signal?: AbortSignal }): Promise<number> {
  return conn.write(zeros, options);
}

/** One turn of the event loop: whatever was ready has run after it. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** True when a promise has not settled, and some turns of the loop later still has not. */
export async function staysPending(promise: Promise<unknown>, turns = 5): Promise<boolean> {
  let pending = true;
  const settled = (): void => {
    pending = false;
  };
  promise.then(settled, settled);
  for (let i = 0; i < turns; i++) await turn();
  return pending;
}

/** The NetError with the given code that an operation fails with; anything else fails the test. */
export async function failure(operation: Promise<unknown>, code: string): Promise<NetError> {
  let value: unknown;
  try {
    value = await operation;
  } catch (error) {
    if (!(error instanceof NetError)) assert.fail(`expected ${code}, got ${inspect(error)}`);
    assert.equal(error.code, code, error.stack);
    return error;
  }
  assert.fail(`expected ${code}, but it resolved to ${inspect(value)}`);
}

/** As failure, for a call that throws rather than rejects. */
export function thrown(call: () => unknown, code: string): Promise<NetError> {
  return failure(new Promise((resolve) => resolve(call())), code);
}

/** Reads until a buffer is full or the stream ends; what was read. */
export async function readFull(conn: Conn, length: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(length);
  let have = 0;
  while (have < length) {
    const n = await conn.read(buffer.subarray(have));
    if (n === null) break;
    have += n;
  }
  return buffer.subarray(0, have);
}

/** As readFull, as text. */
export async function readText(conn: Conn, length: number): Promise<string> {
  return Buffer.from(await readFull(conn, length)).toString();
}

/** Everything up to the end of the stream. */
export async function readAll(conn: Conn): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of conn) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** How many bytes come until the end of the stream. */
export async function countAll(conn: Conn): Promise<number> {
  let total = 0;
  for await (const chunk of conn) total += chunk.length;
  return total;
}

/** Reads one chunk, as iteration does. */
export async function nextChunk(conn: Conn): Promise<Uint8Array | null> {
  const { done, value } = await conn[Symbol.asyncIterator]().next();
  return done === true ? null : value;
}

/** A buffer of so many bytes that says when two of them are swapped or one is missing. */
export function pattern(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++)
    bytes[i] = (i * 7 + (i >> 8) * 13 + (i >> 16) * 31 + seed) & 0xff;
  return bytes;
}

/** Fails when two byte arrays differ; says where instead of printing both. */
export function assertSameBytes(actual: Uint8Array, expected: Uint8Array): void {
  if (Buffer.compare(actual, expected) === 0) return;
  const at = expected.findIndex((byte, i) => actual[i] !== byte);
  assert.fail(
    `${actual.length} bytes instead of ${expected.length}; the first that differs is ${at}`,
  );
}

/** Random numbers for one test; the seed is printed, and CORONET_SEED repeats a run. */
export function seeded(t: { diagnostic(message: string): void }): Random {
  const given = Number(process.env.CORONET_SEED);
  const seed = given > 0 ? given : Math.floor(Math.random() * 0xffff_ffff) + 1;
  t.diagnostic(`CORONET_SEED=${seed}`);
  return new Random(seed);
}

/** Random numbers below what each call asks for. */
export function numbers(seed: number): (below: number) => number {
  const random = new Random(seed);
  return (below) => random.below(below);
}

/** Cuts bytes into pieces of random length, from 1 to `longest`. */
export function pieces(bytes: Uint8Array, random: Random, longest: number): Uint8Array[] {
  const out: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = 1 + random.below(longest);
    out.push(bytes.subarray(at, at + length));
    at += length;
  }
  return out;
}

/** The date so many ms from now. */
export function inMs(ms: number): Date {
  return new Date(Date.now() + ms);
}

/** The largest delay of a deadline that a test accepts: machines are shared and stall. */
export const LATE_MS = 2_000;

/** Closes a connection while more waits to be read than any backend reads ahead: its peer is reset. */
export async function discardMuch(conn: Conn, peer: Conn): Promise<void> {
  writeTooMuch(peer).catch(() => {});
  await conn.waitReadable();
  await conn.close();
}
