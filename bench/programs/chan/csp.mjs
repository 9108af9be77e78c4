// Channels of @thi.ng/csp. A write is done when it has been read, so its smallest buffer behaves like
// none, and none of its buffers lets a writer that waits for its writes go ahead.
import { channel, select } from "@thi.ng/csp";
import { measure } from "../loop.mjs";
import { checkSum } from "./load.mjs";

async function produce(ch, count) {
  for (let i = 0; i < count; i++) await ch.write(i);
  ch.close();
}

async function echo(there, back) {
  for (;;) {
    const value = await there.read();
    if (value === undefined) break;
    await back.write(value);
  }
}

await measure({
  async pingpong(count) {
    const [there, back] = [channel(), channel()];
    void echo(there, back);
    for (let i = 0; i < count / 2; i++) {
      await there.write(i);
      await back.read();
    }
    there.close();
  },
  async unbuffered(count) {
    const ch = channel();
    void produce(ch, count);
    let sum = 0;
    for (let i = 0; i < count; i++) sum += await ch.read();
    checkSum(sum, count);
  },
  async select(count) {
    const [there, back] = [channel(), channel()];
    void echo(there, back);
    for (let i = 0; i < count / 2; i++) {
      await there.write(i);
      const never = channel();
      await select(back, never);
      never.close();
    }
    there.close();
  },
  async spawn(count) {
    for (let i = 0; i < count; i++) {
      const result = channel();
      void (async () => {
        await result.write(i);
      })();
      await result.read();
    }
  },
});
