// Channels, select and timers of Coronet.
import { Chan, go, recv, select, Timer } from "../../../dist/src/index.js";
import { measure } from "../loop.mjs";
import { CAPACITY, checkSum, FAR_MS, holdMany, isHeap } from "./load.mjs";

async function produce(ch, count) {
  for (let i = 0; i < count; i++) await ch.send(i);
  ch.close();
}

async function produceTrying(ch, count) {
  for (let i = 0; i < count; i++) if (!ch.trySend(i)) await ch.send(i);
  ch.close();
}

async function echo(there, back) {
  for await (const value of there) await back.send(value);
}

async function transfer(ch, count) {
  go(produce, ch, count);
  let sum = 0;
  for await (const value of ch) sum += value;
  checkSum(sum, count);
}

const cases = {
  async pingpong(count) {
    const [there, back] = [new Chan(), new Chan()];
    go(echo, there, back);
    for (let i = 0; i < count / 2; i++) {
      await there.send(i);
      await back.receive();
    }
    there.close();
  },
  unbuffered: (count) => transfer(new Chan(), count),
  buffered: (count) => transfer(new Chan(CAPACITY), count),
  async trying(count) {
    const ch = new Chan(CAPACITY);
    go(produceTrying, ch, count);
    let sum = 0;
    for (;;) {
      const [value, ok] = ch.tryReceive() ?? (await ch.receive());
      if (!ok) break;
      sum += value;
    }
    checkSum(sum, count);
  },
  async select(count) {
    const [there, back, never] = [new Chan(), new Chan(), new Chan()];
    go(echo, there, back);
    for (let i = 0; i < count / 2; i++) {
      await there.send(i);
      await select({ back: recv(back), never: recv(never) });
    }
    there.close();
  },
  async spawn(count) {
    for (let i = 0; i < count; i++) {
      const result = new Chan();
      go(() => result.send(i));
      await result.receive();
    }
  },
  async timer(count) {
    for (let i = 0; i < count; i++) new Timer(FAR_MS).stop();
  },
};

async function wait(ch) {
  await ch.receive();
}

if (isHeap()) {
  const never = new Chan();
  await holdMany(() => go(wait, never).unref());
} else await measure(cases);
