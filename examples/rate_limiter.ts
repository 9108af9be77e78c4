// run:
// expect: at least 60 ms for 6 requests: true
/**
 * rate_limiter.ts: a bucket of tokens, made of a channel and a ticker.
 *
 * The buffered channel is the bucket: whoever takes a token may go on, and whoever finds none waits in
 * line. A ticker puts a token back every so often; if the bucket is full the token is lost, because
 * trySend never waits. The bucket's capacity is the burst that is allowed after a pause.
 */
import { Chan, go, Ticker, WaitGroup } from "coronet";

class RateLimiter implements Disposable {
  private readonly tokens: Chan<true>;
  private readonly ticker: Ticker;

  constructor(everyMs: number, burst: number) {
    this.tokens = new Chan<true>(burst);
    for (let i = 0; i < burst; i++) this.tokens.trySend(true);
    this.ticker = new Ticker(everyMs);
    go(() => this.refill()).unref();
  }

  private async refill() {
    for await (const _ of this.ticker.c) this.tokens.trySend(true);
  }

  /** Waits until one more may go on. */
  async wait(options?: { signal?: AbortSignal }) {
    await this.tokens.receive(options);
  }

  [Symbol.dispose]() {
    this.ticker.stop();
  }
}

const began = performance.now();
using limiter = new RateLimiter(20, 3);
const requests = new WaitGroup();
for (let i = 1; i <= 6; i++) {
  requests.go(async () => {
    await limiter.wait();
    console.log(`request ${i} goes on after ${Math.round(performance.now() - began)} ms`);
  });
}
await requests.wait();
// Three at once, the other three with one tick each.
console.log(`at least 60 ms for 6 requests: ${performance.now() - began >= 60}`);
