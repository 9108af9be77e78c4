/**
 * steps.ts: the number of the step that runs. A step is what runs between two awaits: nobody else runs
 * meanwhile, so it takes effect as a whole.
 *
 * Steps are told apart by V8's promise hooks, which see every continuation of an async function
 * (strands.ts), and by a microtask for what is called by the host.
 */

let step = 1;
let ends = false;

/** The number of the step that runs: another one after each await. */
export function currentStep(): number {
  if (!ends) {
    ends = true;
    queueMicrotask(endStep);
  }
  return step;
}

/** Another step begins. */
export function endStep(): void {
  step++;
  ends = false;
}
