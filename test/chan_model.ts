/**
 * chan_model.ts: channels and select in their plainest form: arrays that are searched. The real ones
 * are compared with it (chan_model.test.ts).
 */

/** One direction of one channel: a send of `value`, or a receive. */
export interface ModelCase {
  chan: number;
  value: number | undefined;
}

/** How an operation ended, in words. */
export type Outcome = string;

export const WAITS: Outcome = "waits";
export const CLOSED: Outcome = "ERR_CHAN_CLOSED";
export const CANCELED: Outcome = "ERR_CANCELED";

export function sentBy(index: number): Outcome {
  return `case ${index} sent`;
}

export function receivedBy(index: number, value: number | undefined): Outcome {
  return `case ${index} received ${value ?? "the end"}`;
}

/** The number of the case that an outcome is of. */
export function caseIn(outcome: Outcome): number {
  return Number(/^case (\d+) /.exec(outcome)?.[1]);
}

/** An operation with its cases: several are a select. */
export interface ModelOp {
  readonly cases: readonly ModelCase[];
  outcome: Outcome;
}

interface ModelWaiter {
  op: ModelOp;
  index: number;
  value: number | undefined;
}

class ModelChan {
  readonly capacity: number;
  readonly buffer: number[] = [];
  closed = false;
  /** Those who wait, oldest first. */
  waiters: ModelWaiter[] = [];

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get receiver(): ModelWaiter | undefined {
    return this.waiters.find(({ value }) => value === undefined);
  }

  get sender(): ModelWaiter | undefined {
    return this.waiters.find(({ value }) => value !== undefined);
  }
}

export class Model {
  readonly chans: ModelChan[];

  constructor(capacities: readonly number[]) {
    this.chans = capacities.map((capacity) => new ModelChan(capacity));
  }

  private chanOf({ chan }: ModelCase): ModelChan {
    return this.chans[chan] as ModelChan;
  }

  /** The case can happen without waiting. */
  ready(c: ModelCase): boolean {
    const { closed, buffer, capacity, receiver, sender } = this.chanOf(c);
    if (closed) return true;
    if (c.value === undefined) return buffer.length > 0 || sender !== undefined;
    return buffer.length < capacity || receiver !== undefined;
  }

  /** A send that would fail. */
  fails(c: ModelCase): boolean {
    return c.value !== undefined && this.chanOf(c).closed;
  }

  /** Makes one of the operation's cases, which is ready, happen. */
  perform(op: ModelOp, index: number): void {
    const c = op.cases[index] as ModelCase;
    const chan = this.chanOf(c);
    if (this.fails(c)) op.outcome = CLOSED;
    else if (c.value === undefined) op.outcome = receivedBy(index, this.take(chan));
    else {
      op.outcome = sentBy(index);
      this.give(chan, c.value);
    }
  }

  private give(chan: ModelChan, value: number): void {
    const { receiver } = chan;
    if (receiver === undefined) chan.buffer.push(value);
    else this.settle(receiver.op, receivedBy(receiver.index, value));
  }

  private take(chan: ModelChan): number | undefined {
    const { sender } = chan;
    if (sender !== undefined) {
      chan.buffer.push(sender.value as number);
      this.settle(sender.op, sentBy(sender.index));
    }
    return chan.buffer.shift();
  }

  wait(op: ModelOp): void {
    for (const [index, c] of op.cases.entries()) {
      this.chanOf(c).waiters.push({ op, index, value: c.value });
    }
  }

  /** False when it was closed before. */
  close(number: number): boolean {
    const chan = this.chans[number] as ModelChan;
    if (chan.closed) return false;
    chan.closed = true;
    for (let r = chan.receiver; r !== undefined; r = chan.receiver) {
      this.settle(r.op, receivedBy(r.index, undefined));
    }
    for (let s = chan.sender; s !== undefined; s = chan.sender) this.settle(s.op, CLOSED);
    return true;
  }

  /** Ends a wait: it leaves every queue. */
  settle(op: ModelOp, outcome: Outcome): void {
    op.outcome = outcome;
    for (const chan of this.chans) chan.waiters = chan.waiters.filter((w) => w.op !== op);
  }
}
