// run: --meals 20
// expect: everybody has eaten 20 times
/**
 * dining_philosophers.ts: five philosophers, five forks, and everybody needs two of them.
 *
 * Whoever takes the left fork first and then waits for the right one will meet four others who do the
 * same: each holds one fork and waits for the next philosopher's, for ever. Here is an order for the
 * forks, and everybody takes the lower one first, so the last of them finds his first fork taken.
 *
 *   node dist/examples/dining_philosophers.js --meals 5     they eat, and the program ends
 *   node dist/examples/dining_philosophers.js --greedy      left fork first: the deadlock report
 *   CORONET_TRACEBACK=all node … --greedy                   and which fork each of them waits for
 */
import { parseArgs } from "node:util";
import { Mutex, sleep, WaitGroup } from "coronet";

const { values } = parseArgs({
  options: {
    meals: { type: "string", default: "5" },
    greedy: { type: "boolean", default: false },
  },
});
const meals = Number(values.meals);

const names = ["Hypatia", "Plato", "Confucius", "Spinoza", "Arendt"];
const forks = names.map(() => new Mutex());
const eaten = names.map(() => 0);

/** The two forks beside a seat, in the order in which they are taken. */
function forksOf(seat: number): [first: Mutex, second: Mutex] {
  const left = seat;
  const right = (seat + 1) % forks.length;
  const [first, second] = values.greedy || left < right ? [left, right] : [right, left];
  return [forks[first]!, forks[second]!];
}

async function philosopher(seat: number) {
  const [first, second] = forksOf(seat);
  while (eaten[seat]! < meals) {
    await sleep(Math.random()); // think
    using _first = await first.lock();
    await sleep(1); // take a breath, so that the greedy ones do meet
    using _second = await second.lock();
    eaten[seat]!++;
  }
  console.log(`${names[seat]} is full`);
}

const table = new WaitGroup();
for (const seat of names.keys()) table.go(philosopher, seat);
await table.wait();
console.log(`everybody has eaten ${Math.min(...eaten)} times`);
