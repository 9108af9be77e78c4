/**
 * fake_kernel_facts.test.ts: the fake kernel is true to Linux, and notices when it is misused.
 *
 * A fake that is kinder than the kernel hides defects, one that is harsher invents them. So random
 * sequences of calls are made on a fake pair and on a TCP connection over loopback, and every answer
 * and every event bit must be the same.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Random } from "../src/internal/random.ts";
import {
  AF_INET,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  IPPROTO_TCP,
  SHUT_RD,
  SHUT_WR,
  SO_ERROR,
  SO_LINGER,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_NODELAY,
} from "../src/syscall/constants.ts";
import { EAGAIN, ECONNREFUSED, EINPROGRESS, EMFILE, ENOTCONN } from "../src/syscall/errno.ts";
import type { Kernel } from "../src/syscall/kernel.ts";
import { nativeKernel } from "../src/syscall/native.ts";
import { encodeInet } from "../src/syscall/sockaddr.ts";
import { FakeKernel, Misuse } from "../testing/fake_kernel.ts";
import { mixed } from "./fake_kernel_world.ts";

const BITS = EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDHUP;
const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
const name = new Uint8Array(132);
const buffer = new Uint8Array(256);

function loopback(port: number): Uint8Array {
  return encodeInet({ family: AF_INET, ip: LOOPBACK, port, scope: 0 });
}

function step(kernel: FakeKernel): void {
  while (kernel.network.step());
}

/** A TCP connection over loopback. */
function tcpPair(kernel: Kernel): [number, number] {
  const listener = kernel.socket(AF_INET, SOCK_STREAM, 0);
  assert.equal(kernel.bind(listener, loopback(0)), 0);
  assert.equal(kernel.listen(listener, 8), 0);
  assert.equal(kernel.getsockname(listener, name), 0);
  const client = kernel.socket(AF_INET, SOCK_STREAM, 0);
  assert.equal(kernel.connect(client, name.slice(4, 20)), -EINPROGRESS);
  const server = eventually(
    () => kernel.accept4(listener, name),
    (fd) => fd !== -EAGAIN,
  );
  assert.ok(server > 0);
  kernel.close(listener);
  // Or a small send would wait until the one before it is acknowledged.
  const on = new Uint8Array(new Int32Array([1]).buffer);
  for (const fd of [client, server]) kernel.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, on);
  return [client, server];
}

/** Asks until the answer is right; the last answer after two seconds. The kernel needs a moment. */
function eventually<T>(ask: () => T, right: (answer: T) => boolean): T {
  const until = performance.now() + 2000;
  for (;;) {
    const answer = ask();
    if (right(answer) || performance.now() > until) return answer;
  }
}

/** Both kinds of pair, side by side. */
class Twins {
  readonly fake = new FakeKernel(new Random(1), { sendBuffer: 4000, receiveBuffer: 4000 });
  readonly real = nativeKernel();
  private readonly fakes: [number, number] = this.fake.pair();
  private readonly reals: [number, number] = tcpPair(this.real);
  private readonly epfd = this.real.epollCreate1();
  private readonly events = new Int32Array(3);
  readonly log: string[] = [];
  open = [true, true];

  /** Makes the same call on both; the answers must be the same. */
  both(side: number, what: string, call: (kernel: Kernel, fd: number) => number): void {
    const expected = call(this.fake, this.fakes[side] as number);
    step(this.fake);
    // What was sent must have arrived, or the real kernel could answer less.
    const actual = eventually(
      () => call(this.real, this.reals[side] as number),
      (answer) => answer === expected || answer !== -EAGAIN,
    );
    this.log.push(`${what} on ${side}: ${expected}`);
    assert.equal(actual, expected, this.log.join("\n"));
    this.compareEvents();
  }

  close(side: number): void {
    this.open[side] = false;
    this.both(side, "close", (kernel, fd) => kernel.close(fd));
  }

  private compareEvents(): void {
    for (const side of [0, 1]) {
      if (!this.open[side]) continue;
      const expected = this.fake.socketOf(this.fakes[side] as number).poll() & BITS;
      const actual = eventually(
        () => this.realEvents(this.reals[side] as number),
        (bits) => bits === expected,
      );
      assert.equal(actual, expected, `events of ${side} after\n${this.log.join("\n")}`);
    }
  }

  private realEvents(fd: number): number {
    const { real, epfd, events } = this;
    events[2] = 0;
    assert.equal(real.epollCtl(epfd, EPOLL_CTL_ADD, fd, BITS, 0, 0), 0);
    real.epollWait(epfd, events, 0);
    assert.equal(real.epollCtl(epfd, EPOLL_CTL_DEL, fd, 0, 0, 0), 0);
    return (events[2] as number) & BITS;
  }

  dispose(): void {
    for (const side of [0, 1]) if (this.open[side]) this.real.close(this.reals[side] as number);
    this.real.close(this.epfd);
  }
}

/** One random call. */
function act(twins: Twins, random: Random): void {
  const open = [0, 1].filter((side) => twins.open[side]);
  const side = open[random.below(open.length)] as number;
  const n = 1 + random.below(100);
  const kind = random.below(20);
  if (kind < 7) twins.both(side, `send ${n}`, (kernel, fd) => kernel.send(fd, buffer, 0, n));
  else if (kind < 13) twins.both(side, `recv ${n}`, (kernel, fd) => kernel.recv(fd, buffer, 0, n));
  else if (kind < 15) twins.both(side, "peek", (kernel, fd) => kernel.peek(fd));
  else if (kind < 16) twins.both(side, "end writing", (k, fd) => k.shutdown(fd, SHUT_WR));
  else if (kind < 17) twins.both(side, "end reading", (k, fd) => k.shutdown(fd, SHUT_RD));
  else if (kind < 18) {
    twins.both(side, "getpeername", (kernel, fd) => Math.sign(kernel.getpeername(fd, name)));
  } else if (kind < 19 && open.length === 2) {
    const linger = new Uint8Array(new Int32Array([1, 0]).buffer);
    twins.both(side, "linger 0", (k, fd) => k.setsockopt(fd, SOL_SOCKET, SO_LINGER, linger));
  } else if (open.length === 2) twins.close(side);
}

describe("the fake kernel and Linux", () => {
  for (let block = 0; block < 4; block++) {
    test(`give the same answers and events on a connection, block ${block + 1}`, () => {
      for (let seed = block * 75 + 1; seed <= block * 75 + 75; seed++) {
        const random = mixed(seed);
        const twins = new Twins();
        try {
          for (let i = 0; i < 25; i++) act(twins, random);
        } catch (error) {
          (error as Error).message += `\n(seed ${seed})`;
          throw error;
        } finally {
          twins.dispose();
        }
      }
    });
  }

  test("report a refused connect alike", () => {
    const real = nativeKernel();
    const fake = new FakeKernel(new Random(1));
    // A port that was free a moment ago.
    const taken = real.socket(AF_INET, SOCK_STREAM, 0);
    void real.bind(taken, loopback(0));
    real.getsockname(taken, name);
    real.close(taken);
    const address = name.slice(4, 20);
    const answers = [real, fake].map((kernel) => {
      const fd = kernel.socket(AF_INET, SOCK_STREAM, 0);
      const first = kernel.connect(fd, address);
      if (kernel === fake) step(fake);
      const out = new Uint8Array(4);
      const error = (): number => {
        kernel.getsockopt(fd, SOL_SOCKET, SO_ERROR, out);
        return new Int32Array(out.buffer)[0] as number;
      };
      const outcome = eventually(error, (number) => number !== 0);
      const answer = [first, outcome, error(), kernel.getpeername(fd, name)];
      kernel.close(fd);
      return answer;
    });
    assert.deepEqual(answers[1], [-EINPROGRESS, ECONNREFUSED, 0, -ENOTCONN]);
    assert.deepEqual(answers[0], answers[1]);
  });

  test("report edges alike: once per change, and again for a change", () => {
    const fake = new FakeKernel(new Random(1));
    const real = nativeKernel();
    const trace = (kernel: Kernel, [a, b]: [number, number]): number[] => {
      const events = new Int32Array(3);
      const epfd = kernel.epollCreate1();
      const bits: number[] = [];
      const look = (): void => {
        if (kernel === fake) step(fake);
        bits.push(kernel.epollWait(epfd, events, 0) === 1 ? (events[2] as number) : 0);
      };
      kernel.epollCtl(epfd, EPOLL_CTL_ADD, a, BITS | EPOLLET, 0, 1);
      look();
      look();
      kernel.send(b, buffer, 0, 10);
      look();
      look();
      kernel.send(b, buffer, 0, 10);
      look();
      kernel.recv(a, buffer, 0, 5);
      look();
      kernel.send(b, buffer, 0, 1);
      kernel.shutdown(b, SHUT_WR);
      look();
      kernel.recv(a, buffer, 0, 200);
      look();
      kernel.close(b);
      kernel.close(a);
      look();
      kernel.close(epfd);
      return bits;
    };
    const expected = trace(real, socketpair(real));
    assert.deepEqual(trace(fake, fake.pair()), expected);
    assert.ok(expected.includes(EPOLLIN | EPOLLOUT | EPOLLRDHUP), "data and FIN shared an edge");
  });
});

function socketpair(kernel: ReturnType<typeof nativeKernel>): [number, number] {
  const out = new Int32Array(2);
  assert.equal(kernel.socketpair(1, SOCK_STREAM, out), 0);
  return [out[0] as number, out[1] as number];
}

describe("the fake kernel", () => {
  test("gives out the lowest free number, and a closed one at once", () => {
    const kernel = new FakeKernel(new Random(1));
    assert.deepEqual(kernel.pair(), [3, 4]);
    assert.deepEqual(kernel.pair(), [5, 6]);
    kernel.close(4);
    kernel.close(3);
    assert.equal(kernel.eventfd(), 3);
    assert.equal(kernel.epollCreate1(), 4);
    assert.equal(kernel.eventfd(), 7);
  });

  test("runs out of fds where it is told to", () => {
    const kernel = new FakeKernel(new Random(1), { maxFds: 2 });
    kernel.pair();
    assert.equal(kernel.eventfd(), -EMFILE);
    kernel.close(3);
    assert.equal(kernel.eventfd(), 3);
  });

  for (const [what, call] of [
    ["a call on an fd that is not open", (k) => k.recv(9, buffer, 0, 1)],
    ["a second close", (k) => [k.close(3), k.close(3)]],
    ["a span that begins before its buffer", (k) => k.recv(3, buffer, -1, 4)],
    ["a span that ends behind its buffer", (k) => k.send(3, buffer, 250, 7)],
    ["a length that is no whole number", (k) => k.send(3, buffer, 0, 1.5)],
    ["a first chunk that does not exist", (k) => k.writev(3, [buffer], 1, 0)],
    ["an offset behind the first chunk", (k) => k.writev(3, [buffer], 0, 300)],
    ["a socket's call on an eventfd", (k) => k.recv(k.eventfd(), buffer, 0, 1)],
    ["a name buffer that is too small", (k) => k.getsockname(3, new Uint8Array(20))],
    ["an interest in an fd that is not open", (k) => k.epollCtl(k.epollCreate1(), 1, 99, 1, 0, 1)],
    [
      "a sequence number that was used before",
      (k) => {
        const epfd = k.epollCreate1();
        k.epollCtl(epfd, EPOLL_CTL_ADD, 3, EPOLLIN, 0, 1);
        k.epollCtl(epfd, EPOLL_CTL_ADD, 4, EPOLLIN, 0, 1);
      },
    ],
    ["a wait for what never happens", (k) => k.epollWait(k.epollCreate1(), new Int32Array(3), -1)],
  ] as readonly [string, (kernel: FakeKernel) => unknown][]) {
    test(`calls ${what} misuse`, () => {
      const kernel = new FakeKernel(new Random(1));
      kernel.pair();
      assert.throws(() => call(kernel), Misuse);
    });
  }

  test("a guard notices that its fd's number has a new owner", () => {
    const kernel = new FakeKernel(new Random(1));
    const [a] = kernel.pair();
    const guard = kernel.guard(a);
    assert.equal(guard.peek(a), -EAGAIN);
    assert.equal(guard.close(a), 0);
    assert.equal(kernel.pair()[0], a);
    assert.equal(kernel.peek(a), -EAGAIN);
    assert.throws(() => guard.peek(a), /it was closed before/);
    assert.equal(kernel.violations.length, 1);
  });

  test("a fault that hides data or room is followed by an edge", () => {
    for (const [fault, bit] of [
      ["again", EPOLLIN],
      ["shortReceive", EPOLLIN],
      ["shortSend", EPOLLOUT],
    ] as const) {
      const kernel = new FakeKernel(mixed(1), { faults: { [fault]: 1 } });
      const [a, b] = kernel.pair();
      const epfd = kernel.epollCreate1();
      const events = new Int32Array(3);
      kernel.faults.again = 0;
      kernel.send(b, buffer, 0, 50);
      kernel.epollCtl(epfd, EPOLL_CTL_ADD, a, EPOLLIN | EPOLLOUT | EPOLLET, 0, 1);
      step(kernel);
      kernel.epollWait(epfd, events, 0);
      assert.equal(kernel.epollWait(epfd, events, 0), 0);
      if (fault === "again") kernel.faults.again = 1;
      const n = bit === EPOLLIN ? kernel.recv(a, buffer, 0, 50) : kernel.send(a, buffer, 0, 50);
      assert.ok(n === -EAGAIN || (n > 0 && n < 50), `${fault} gave ${n}`);
      step(kernel);
      assert.equal(kernel.epollWait(epfd, events, 0), 1, fault);
      assert.ok(((events[2] as number) & bit) !== 0, fault);
    }
  });
});
