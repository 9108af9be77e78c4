/**
 * shared.ts: shared(): says which objects goroutines share. By itself it does nothing.
 *
 * The race detector (detector.ts) fills the slot when it is switched on; the program imports nothing
 * of it, and pays a call at each shared() while it is off.
 */

interface Slot {
  /** Makes the watched form of an object; null while the detector is off. */
  watch: (<T extends object>(object: T, above: (...args: never[]) => unknown) => T) | null;
}

/** @internal */
export const detector: Slot = { watch: null };

/**
 * Says that goroutines share this object, which may be a plain object, an array, a Map, a Set or one of
 * a class. Gives it back as it is. With the race detector on (`node --import coronet/race app.js`) it
 * gives a form that behaves alike and reports accesses that no synchronisation orders: use what it
 * gives, not what it got. Plain objects, arrays, Maps and Sets inside are watched too.
 *
 * A Proxy has no private fields: an object of a class that has `#fields` cannot be watched as a whole,
 * only objects in it.
 *
 * @example
 * import { Mutex, shared, sleep, WaitGroup } from "coronet";
 * const account = shared({ balance: 100 });
 * const mu = new Mutex();
 * async function withdraw(amount: number) {
 *   using _ = await mu.lock(); // without it the detector reports a race
 *   const { balance } = account;
 *   await sleep(1);
 *   account.balance = balance - amount;
 * }
 * const wg = new WaitGroup();
 * wg.go(withdraw, 30);
 * wg.go(withdraw, 50);
 * await wg.wait();
 * console.log(account.balance); // 20
 */
export function shared<T extends object>(object: T): T {
  return detector.watch === null ? object : detector.watch(object, shared);
}
