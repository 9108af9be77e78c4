/** netpoll_epoll.test.ts: the epoll backend, over Linux and over the fake kernel. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { after, describe, test } from "node:test";
import { MessageChannel, receiveMessageOnPort, Worker } from "node:worker_threads";
import { FakeClock } from "../../testing/fake_host.ts";
import { FakeKernel } from "../../testing/fake_kernel.ts";
import { type PollerEnv, pollerSuite } from "../../testing/poller_suite.ts";
import { Random } from "../internal/random.ts";
import { AF_UNIX, SHUT_WR, SOCK_STREAM } from "../syscall/constants.ts";
import { EINTR, EMFILE } from "../syscall/errno.ts";
import type { Kernel } from "../syscall/kernel.ts";
import { nativeKernel } from "../syscall/native.ts";
import { PollCache, parkRead } from "./netpoll.ts";
import { EpollPoller, type Waker } from "./netpoll_epoll.ts";

const bytes = new Uint8Array(65_536);

/** A kernel that keeps count of what is open, and fails when it is told to. */
function watched<K extends Kernel>(kernel: K): { kernel: K; open: Set<number>; failAt: number } {
  const state = { kernel, open: new Set<number>(), failAt: 0 };
  const creating = (call: () => number): number => {
    if (state.failAt > 0 && --state.failAt === 0) return -EMFILE;
    const fd = call();
    state.open.add(fd);
    return fd;
  };
  state.kernel = Object.create(kernel, {
    epollCreate1: { value: () => creating(() => kernel.epollCreate1()) },
    eventfd: { value: () => creating(() => kernel.eventfd()) },
    epollCtl: {
      value: (...args: Parameters<Kernel["epollCtl"]>) => {
        if (state.failAt > 0 && --state.failAt === 0) return -EMFILE;
        return kernel.epollCtl(...args);
      },
    },
    close: {
      value: (fd: number) => {
        state.open.delete(fd);
        return kernel.close(fd);
      },
    },
  }) as K;
  return state;
}

function envOf(kernel: Kernel, pair: () => [number, number]): PollerEnv {
  const state = watched(kernel);
  const cache = new PollCache();
  return {
    cache,
    poller: new EpollPoller(state.kernel, cache),
    pair: () => {
      const [a, b] = pair();
      state.open.add(a).add(b);
      return [a, b];
    },
    send: (fd, n) => kernel.send(fd, bytes, 0, n),
    receive: (fd, n) => kernel.recv(fd, bytes, 0, n),
    endWrite: (fd) => {
      assert.equal(kernel.shutdown(fd, SHUT_WR), 0);
    },
    close: (fd) => {
      assert.equal(state.kernel.close(fd), 0);
    },
    openFds: () => readdirSync("/proc/self/fd").length,
    now: () => performance.now(),
    failCreation: (n) => {
      state.failAt = n;
    },
    dispose: () => {
      for (const fd of state.open) kernel.close(fd);
    },
  };
}

/** A thread that wakes a poller; what it does is written out here, as it has no other use. */
const WAKING = `
import { workerData, parentPort } from "node:worker_threads";
const { netpoll, native, waker, wakes, state } = workerData;
const { wakeUp } = await import(netpoll);
const { nativeKernel } = await import(native);
const kernel = nativeKernel();
parentPort.postMessage("ready");
Atomics.wait(state, 0, 0);
for (let i = 0; i < wakes; i++) wakeUp(kernel, waker);
Atomics.store(state, 1, 1);
`;

async function waking(
  waker: Waker,
  wakes: number,
): ReturnType<NonNullable<PollerEnv["otherThread"]>> {
  const state = new Int32Array(new SharedArrayBuffer(8));
  const netpoll = new URL("./netpoll_epoll.js", import.meta.url).href;
  const native = new URL("../syscall/native.js", import.meta.url).href;
  const code = new URL(`data:text/javascript,${encodeURIComponent(WAKING)}`);
  const worker = new Worker(code, { workerData: { netpoll, native, waker, wakes, state } });
  const exited = new Promise<void>((resolve, reject) => {
    worker.once("exit", () => resolve());
    worker.once("error", reject);
  });
  await new Promise((resolve) => worker.once("message", resolve));
  return {
    begin: () => {
      Atomics.store(state, 0, 1);
      Atomics.notify(state, 0);
    },
    ended: () => Atomics.load(state, 1) === 1,
    join: () => exited,
  };
}

pollerSuite("epoll on Linux", () => {
  const kernel = nativeKernel();
  const env = envOf(kernel, () => {
    const out = new Int32Array(2);
    assert.equal(kernel.socketpair(AF_UNIX, SOCK_STREAM, out), 0);
    return [out[0] as number, out[1] as number];
  });
  const poller = env.poller as EpollPoller;
  return { ...env, otherThread: (wakes) => waking(poller.waker, wakes) };
});

pollerSuite("epoll on the fake kernel", () => {
  const clock = new FakeClock();
  const kernel = new FakeKernel(new Random(1), { wait: (ms) => clock.advance(ms) });
  const env = envOf(kernel, () => kernel.pair());
  const settled = <T>(value: T): T => {
    while (kernel.network.step());
    return value;
  };
  return {
    ...env,
    send: (fd, n) => settled(env.send(fd, n)),
    receive: (fd, n) => settled(env.receive(fd, n)),
    endWrite: (fd) => settled(env.endWrite(fd)),
    openFds: () => kernel.openFds().length,
    now: () => clock.now(),
    interrupt: () => {
      kernel.faults.interruptWait = 0.7;
    },
  };
});

describe("epoll backend", () => {
  test("a wake-up between the read and the mark of the one before it is not lost", () => {
    const kernel = new FakeKernel(new Random(1));
    let between = (): void => {};
    const racing = Object.create(kernel, {
      read: {
        value: (...args: Parameters<Kernel["read"]>) => {
          // Another thread, on either side of the read.
          between();
          const n = kernel.read(...args);
          between();
          return n;
        },
      },
    }) as Kernel;
    const poller = new EpollPoller(racing, new PollCache());
    poller.init();
    between = () => poller.wake();
    poller.wake();
    poller.poll(0);
    between = () => {};
    poller.poll(0);
    poller.wake();
    // On the fake kernel a wait for what never comes is an error.
    assert.deepEqual(poller.poll(-1), []);
  });

  test("a stale event is counted", () => {
    const kernel = new FakeKernel(new Random(1));
    const cache = new PollCache();
    const poller = new EpollPoller(kernel, cache);
    poller.init();
    const [a] = kernel.pair();
    const pd = cache.alloc();
    poller.open(a, pd);
    cache.free(pd);
    assert.equal(poller.stale, 0);
    poller.poll(0);
    assert.equal(poller.stale, 1);
  });

  test("an interrupted wait with a limit returns to its caller, who knows how long to wait on", () => {
    const kernel = new FakeKernel(new Random(1));
    const poller = new EpollPoller(kernel, new PollCache());
    poller.init();
    kernel.faults.interruptWait = 1;
    assert.equal(kernel.epollWait(poller.fd, poller.events, 0), -EINTR);
    assert.deepEqual(poller.poll(50), []);
  });

  test("an epoll_wait that fails is a defect, not an empty answer", () => {
    const kernel = new FakeKernel(new Random(1));
    const broken = Object.create(kernel, { epollWait: { value: () => -EMFILE } }) as Kernel;
    const poller = new EpollPoller(broken, new PollCache());
    poller.init();
    assert.throws(() => poller.poll(0), /internal error: .*epoll_wait failed with EMFILE/);
  });

  test("urgent data wakes the reader and is remembered", () => {
    const kernel = new FakeKernel(new Random(1), { faults: { urgent: 1 } });
    const cache = new PollCache();
    const poller = new EpollPoller(kernel, cache);
    poller.init();
    const [a, b] = kernel.pair();
    const pd = cache.alloc();
    poller.open(a, pd);
    poller.poll(0);
    pd.rg = null;
    const reader = { ready: () => {} };
    parkRead(pd, reader);
    kernel.send(b, bytes, 0, 1);
    while (kernel.network.step());
    assert.deepEqual([...poller.poll(0)], [reader]);
    assert.notEqual(pd.flags, 0);
  });

  test("the sequence number goes through the kernel as it is, also a negative one", () => {
    const kernel = nativeKernel();
    const events = new Int32Array(3);
    const epfd = kernel.epollCreate1();
    const fd = kernel.eventfd();
    after(() => [epfd, fd].map((n) => kernel.close(n)));
    for (const [slot, seq] of [
      [0, 1],
      [-1, -1],
      [0x7fff_ffff, -0x8000_0000],
      [123_456, -42],
    ] as const) {
      assert.equal(kernel.epollCtl(epfd, 1, fd, 4, slot, seq), 0);
      assert.equal(kernel.epollWait(epfd, events, 0), 1);
      assert.deepEqual([...events], [slot, seq, 4]);
      assert.equal(kernel.epollCtl(epfd, 2, fd, 0, 0, 0), 0);
    }
  });
});

// A poller's waker must survive being posted: that is what it is for.
test("a waker can be posted to another thread", () => {
  const kernel = new FakeKernel(new Random(1));
  const poller = new EpollPoller(kernel, new PollCache());
  poller.init();
  const { port1, port2 } = new MessageChannel();
  port1.postMessage(poller.waker);
  const { message } = receiveMessageOnPort(port2) as { message: Waker };
  assert.equal(message.fd, poller.waker.fd);
  Atomics.store(message.waking, 0, 1);
  assert.equal(poller.waker.waking[0], 1);
  port1.close();
});
