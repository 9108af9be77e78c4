// The same tests under each runner: one is tidy, one leaves a goroutine behind and has to fail.

import { verifyNoLeaksInEach } from "../../dist/src/debug/index.js";
import { Chan, go } from "../../dist/src/index.js";

/** @param {{ test: Function, beforeEach: Function, afterEach: Function }} runner */
export function tests({ test, beforeEach, afterEach }) {
  verifyNoLeaksInEach({ beforeEach, afterEach }, { patience: 50 });

  test("a tidy one", async () => {
    const results = new Chan(1);
    await go(() => results.send(1)).join();
  });

  test("a leaking one", async () => {
    const results = new Chan();
    go(async function forgotten() {
      await results.send(1);
    });
  });
}
