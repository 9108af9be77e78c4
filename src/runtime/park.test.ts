/** park.test.ts: parking, waking, and the stack of a goroutine that is failed. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { drained } from "../../testing/fake_host.ts";
import { failParked, parked, type Resolve, resolver } from "./park.ts";

describe("parked()", () => {
  test("stays pending until its resolver is called", async () => {
    let state = "pending";
    const promise = parked<number>();
    const resolve = resolver<number>();
    void promise.then((value) => {
      state = `resolved to ${value}`;
    });
    await drained();
    assert.equal(state, "pending");
    resolve(7);
    assert.equal(state, "pending", "nobody runs inside the call that wakes");
    await drained();
    assert.equal(state, "resolved to 7");
  });

  test("each promise has the resolver that is taken right after it", async () => {
    const one = parked<string>();
    const first = resolver<string>();
    const two = parked<string>();
    const second = resolver<string>();
    second("two");
    first("one");
    assert.deepEqual(await Promise.all([one, two]), ["one", "two"]);
  });

  test("only the first call of a resolver counts", async () => {
    const promise = parked<number>();
    const resolve = resolver<number>();
    resolve(1);
    resolve(2);
    assert.equal(await promise, 1);
  });
});

/** A wait at the end of two calls of the user's: what an operation on a connection looks like. */
let wake: Resolve<number> | undefined;

function operation(): Promise<number> {
  const promise = parked<number>();
  wake = resolver();
  return promise;
}

async function handlerOfTheUser(): Promise<number> {
  const n = await operation();
  return n + 1;
}

async function callerOfTheHandler(): Promise<number> {
  return (await handlerOfTheUser()) + 1;
}

describe("failParked()", () => {
  test("rejects with the error, once, in a microtask", async () => {
    let made = 0;
    const outcome = operation().then(
      () => "resolved",
      (error: Error) => error.message,
    );
    failParked(wake as Resolve<number>, () => {
      made++;
      return new Error("the reason");
    });
    assert.equal(made, 0, "no error is made inside the call");
    (wake as Resolve<number>)(1);
    assert.equal(await outcome, "the reason");
    await drained();
    assert.equal(made, 1);
  });

  test("the error's stack names the user's functions, innermost first", async () => {
    const outcome = callerOfTheHandler().catch((error: Error) => error);
    // Woken from elsewhere, as the poller does, with nothing of the user's on the stack.
    await drained();
    setImmediate(() => failParked(wake as Resolve<number>, () => new Error("reset")));
    const { stack } = (await outcome) as Error;
    assert.match(stack as string, /at async handlerOfTheUser[\s\S]*at async callerOfTheHandler/);
  });

  test("so does that of an iteration, and of a goroutine deep in a loop", async () => {
    const iterator = { next: () => operation().then((value) => ({ done: false, value })) };
    async function consumerOfTheUser(): Promise<void> {
      for await (const _ of { [Symbol.asyncIterator]: () => iterator });
    }
    const outcome = consumerOfTheUser().catch((error: Error) => error);
    for (let i = 0; i < 3; i++) {
      await drained();
      (wake as Resolve<number>)(i);
    }
    await drained();
    failParked(wake as Resolve<number>, () => new Error("reset"));
    assert.match(((await outcome) as Error).stack as string, /consumerOfTheUser/);
  });

  test("fails many, each with its own error and stack", async () => {
    const wakes: Resolve<number>[] = [];
    const outcomes = Array.from({ length: 50 }, () => {
      const outcome = handlerOfTheUser().catch((error: Error) => error);
      wakes.push(wake as Resolve<number>);
      return outcome;
    });
    for (const [i, resolve] of wakes.entries()) failParked(resolve, () => new Error(`number ${i}`));
    for (const [i, outcome] of outcomes.entries()) {
      const error = (await outcome) as Error;
      assert.equal(error.message, `number ${i}`);
      assert.match(error.stack as string, /at async handlerOfTheUser/);
    }
  });

  test("leaves no rejection behind that nobody can handle", async () => {
    const unhandled: unknown[] = [];
    const listener = (error: unknown): number => unhandled.push(error);
    process.on("unhandledRejection", listener);
    const promise = operation();
    failParked(wake as Resolve<number>, () => new Error("reset"));
    await assert.rejects(promise, /reset/);
    await drained();
    process.off("unhandledRejection", listener);
    assert.deepEqual(unhandled, []);
  });
});
