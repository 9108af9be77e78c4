/** signals.ts: facts about canceling one operation by its signal. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import {
  countAll,
  failure,
  MORE_THAN_FITS,
  nextChunk,
  readFull,
  readText,
  staysPending,
  turn,
  writeTooMuch,
} from "../support.ts";
import type { FactTable } from "./fact.ts";

function listeners(signal: AbortSignal): number {
  return getEventListeners(signal, "abort").length;
}

export const signals = {
  "a signal cancels the read that it was given to, and the connection goes on": async ({
    a,
    b,
  }) => {
    const controller = new AbortController();
    const { signal } = controller;
    const reading = b.read(new Uint8Array(4), { signal });
    assert.ok(await staysPending(reading));
    const reason = new Error("enough");
    controller.abort(reason);
    const error = await failure(reading, "ERR_CANCELED");
    assert.equal(error.cause, reason);
    assert.equal(error.timeout, false);
    assert.equal(error.op, "read");
    await a.write("data");
    assert.equal(await readText(b, 4), "data");
  },

  "a signal cancels waitReadable": async ({ a, b }) => {
    const controller = new AbortController();
    const waiting = b.waitReadable({ signal: controller.signal });
    await turn();
    controller.abort();
    const { cause } = await failure(waiting, "ERR_CANCELED");
    assert.equal((cause as Error).name, "AbortError");
    await a.write("x");
    await b.waitReadable();
    assert.equal(await readText(b, 1), "x");
  },

  "a signal cancels a write, which says how much it wrote": async ({ a, b }) => {
    const controller = new AbortController();
    const { signal } = controller;
    const writing = writeTooMuch(a, { signal });
    assert.ok(await staysPending(writing));
    controller.abort("stop");
    const { bytesWritten = Number.NaN, cause } = await failure(writing, "ERR_CANCELED");
    assert.equal(cause, "stop");
    assert.ok(bytesWritten > 0 && bytesWritten < MORE_THAN_FITS);
    const end = a.write("end").then(() => a.closeWrite());
    assert.equal(await countAll(b), bytesWritten + 3);
    await end;
  },

  "a signal cancels writev and closes nothing": async ({ a, b }) => {
    const controller = new AbortController();
    const chunks = [new Uint8Array(MORE_THAN_FITS / 2), new Uint8Array(MORE_THAN_FITS / 2)];
    const writing = a.writev(chunks, { signal: controller.signal });
    assert.ok(await staysPending(writing));
    controller.abort();
    const { bytesWritten } = await failure(writing, "ERR_CANCELED");
    const closed = a.closeWrite();
    assert.equal(await countAll(b), bytesWritten);
    await closed;
  },

  "AbortSignal.timeout cancels an operation, with its TimeoutError as cause": async ({ a, b }) => {
    // The signal's own timer does not keep a process alive, the waiting read does.
    const error = await failure(
      b.read(new Uint8Array(1), { signal: AbortSignal.timeout(10) }),
      "ERR_CANCELED",
    );
    assert.equal((error.cause as Error).name, "TimeoutError");
    await a.write("x");
    assert.equal(await readText(b, 1), "x");
  },

  "an operation with an aborted signal fails at once and moves no byte": async ({ a, b }) => {
    await a.write("unread");
    await b.waitReadable();
    const options = { signal: AbortSignal.abort("before") };
    for (const operation of [
      b.read(new Uint8Array(8), options),
      b.read(new Uint8Array(0), options),
      b.waitReadable(options),
      a.write("more", options),
      a.write("", options),
      a.writev(["more"], options),
    ]) {
      const { cause } = await failure(operation, "ERR_CANCELED");
      assert.equal(cause, "before");
    }
    await a.closeWrite();
    assert.equal(await readText(b, 100), "unread");
  },

  "a signal cancels one operation in the queue and no other": async ({ a, b }) => {
    const controllers = [0, 1, 2].map(() => new AbortController());
    const reads = controllers.map(({ signal }) => b.read(new Uint8Array(1), { signal }));
    await turn();
    controllers[1]?.abort();
    await failure(reads[1] as Promise<unknown>, "ERR_CANCELED");
    controllers[0]?.abort();
    await failure(reads[0] as Promise<unknown>, "ERR_CANCELED");
    assert.ok(await staysPending(reads[2] as Promise<unknown>));
    await a.write("xy");
    assert.equal(await reads[2], 1);
    assert.equal(await readText(b, 1), "y");
  },

  "a canceled write lets the next one go on": async ({ a, b }) => {
    const controller = new AbortController();
    const first = writeTooMuch(a, { signal: controller.signal });
    const second = a.write("second");
    const third = a.closeWrite();
    assert.ok(await staysPending(first));
    controller.abort();
    const { bytesWritten = Number.NaN } = await failure(first, "ERR_CANCELED");
    assert.equal(await countAll(b), bytesWritten + 6);
    assert.equal(await second, 6);
    await third;
  },

  "one signal cancels every operation that it was given to": async ({ a, b }) => {
    const controller = new AbortController();
    const { signal } = controller;
    const waiting = [
      b.read(new Uint8Array(1), { signal }),
      b.read(new Uint8Array(1), { signal }),
      b.waitReadable({ signal }),
      a.read(new Uint8Array(1), { signal }),
    ];
    const other = b.read(new Uint8Array(1));
    await turn();
    controller.abort();
    for (const operation of waiting) await failure(operation, "ERR_CANCELED");
    await a.write("x");
    assert.equal(await other, 1);
  },

  "aborting after the operation has settled changes nothing": async ({ a, b }) => {
    const controller = new AbortController();
    const { signal } = controller;
    await a.write("x", { signal });
    assert.equal(await b.read(new Uint8Array(1), { signal }), 1);
    const reading = b.read(new Uint8Array(1), { signal });
    await a.write("y");
    assert.equal(await reading, 1);
    controller.abort();
    await a.write("z");
    assert.equal(Buffer.from((await nextChunk(b)) ?? []).toString(), "z");
  },

  "a signal used for 10,000 operations holds no listener": async ({ a, b }) => {
    const { signal } = new AbortController();
    const buffer = new Uint8Array(1);
    for (let i = 0; i < 5000; i++) {
      const reading = b.read(buffer, { signal });
      if (i === 0) assert.equal(listeners(signal), 1, "while it waits there is one");
      await a.write("x", { signal });
      assert.equal(await reading, 1);
      if (listeners(signal) !== 0) assert.fail(`${listeners(signal)} listeners after ${i} reads`);
    }
    await Promise.all([a.waitReadable({ signal }), b.write("x", { signal })]);
    assert.equal(listeners(signal), 0);
    assert.equal((await readFull(a, 1)).length, 1);
  },

  "a close while a signal is listened to takes the listener away": async ({ a }) => {
    const { signal } = new AbortController();
    const waiting = [a.read(new Uint8Array(1), { signal }), a.waitReadable({ signal })];
    assert.ok(listeners(signal) > 0);
    await a.close();
    for (const operation of waiting) await failure(operation, "ERR_CLOSED");
    assert.equal(listeners(signal), 0);
  },
} satisfies FactTable;
