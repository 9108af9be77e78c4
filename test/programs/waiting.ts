/** waiting.ts: programs that wait on channels and timers, one for each name (chan_liveness.test.ts). */
import {
  after,
  Chan,
  go,
  nilChan,
  recv,
  select,
  send,
  sleep,
  Ticker,
  Timer,
} from "../../src/index.ts";

const programs: Record<string, () => unknown> = {
  async "a sleeping goroutine"() {
    go(async () => {
      await sleep(30);
      console.log("slept");
    });
  },
  "a pending timer"() {
    Timer.func(30, () => console.log("went off"));
  },
  async "a ticker"() {
    using ticker = new Ticker(10);
    let ticks = 0;
    for await (const _ of ticker.c) if (++ticks === 3) break;
    console.log("3 ticks");
  },
  async "an after"() {
    console.log((await select({ got: recv(new Chan<number>()), late: after(30) })).case);
  },
  async "a losing after"() {
    const ready = new Chan<number>();
    go(() => ready.send(1));
    console.log((await select({ got: recv(ready), late: after(1e9) })).case);
  },
  async "a canceled sleep"() {
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 10);
    await sleep(1e9, { signal: stop.signal }).catch((error) => console.log(error.code));
  },
  "stopped timers"() {
    new Timer(1e9).stop();
    new Ticker(1e9).stop();
  },
  "a receive"() {
    go(() => new Chan<number>().receive());
  },
  "a send"() {
    go(() => new Chan<number>().send(1));
  },
  "a select"() {
    const ch = new Chan<number>();
    go(() => select({ got: recv(ch), out: send(ch, 1) }));
  },
  "a select without cases"() {
    go(() => select({ off: recv(undefined) }));
  },
  "an absent channel"() {
    go(() => nilChan().receive());
  },
};

await programs[process.argv[2] ?? ""]?.();
