// run: 30
// expect: 2 3 5 7 11 13 17 19 23 29 31 37 41 43 47 53 59 61 67 71 73 79 83 89 97 101 103 107 109 113
/**
 * prime_sieve.ts: the concurrent prime sieve, Go's first show piece.
 *
 * One goroutine counts. For every prime a further goroutine stands in the way and lets through what
 * that prime does not divide; what comes out at the end is the next prime. A chain of goroutines, each
 * doing next to nothing, connected by channels.
 *
 *   node dist/examples/prime_sieve.js 30     the first thirty primes
 */
import { argv } from "node:process";
import { Chan, go, type ReceiveChan, type SendChan } from "coronet";

async function count(out: SendChan<number>) {
  for (let n = 2; ; n++) await out.send(n);
}

async function filter(from: ReceiveChan<number>, out: SendChan<number>, prime: number) {
  for await (const n of from) if (n % prime !== 0) await out.send(n);
}

const wanted = Number(argv[2] ?? 30);
const primes: number[] = [];
let source = new Chan<number>();
// Nobody waits for the end of the chain's goroutines: they would go on for ever.
go(count, source).unref();
while (primes.length < wanted) {
  const [prime = 0] = await source.receive();
  primes.push(prime);
  const rest = new Chan<number>();
  go(filter, source, rest, prime).unref();
  source = rest;
}
console.log(primes.join(" "));
