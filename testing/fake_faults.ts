/**
 * fake_faults.ts: what the fake kernel does wrong, and how often.
 *
 * Every rate is a probability per opportunity. Each fault is something that Linux does or may do, so
 * whoever runs on the fake kernel has no excuse. Drawn from a seed, some runs are calm and others
 * combine a few faults at high rates: uniform low rates would hardly ever make two faults meet.
 */
import type { Random } from "../src/internal/random.ts";

export interface FaultRates {
  /** The network moves on while a system call is being made. */
  meanwhile: number;
  /** recv takes fewer bytes than there are; a later edge tells of the rest. */
  shortReceive: number;
  /** send takes fewer bytes than fit; a later edge tells of the room. */
  shortSend: number;
  /** recv or send answers EAGAIN although it could go on; a later edge tells. */
  again: number;
  /** epoll_wait is interrupted. */
  interruptWait: number;
  /** connect is interrupted; the attempt goes on by itself. */
  interruptConnect: number;
  /** close reports EINTR; the fd is gone. */
  interruptClose: number;
  /** socket, accept4, epoll_create1 and eventfd answer EMFILE, ENFILE, ENOBUFS or ENOMEM. */
  shortage: number;
  /** A connection in the backlog is aborted before it is accepted. */
  abort: number;
  /** A connection breaks, at any moment. */
  reset: number;
  /** An urgent mark is put into a stream: a read stops at it. */
  urgent: number;
  /** A message on a unix socket carries file descriptors: a read ends behind it. */
  control: number;
  /** A connect fails at once, or later. */
  refuse: number;
  /** The network lets a connect wait. */
  slowAnswer: number;
  /** The network never answers a connect. */
  blackhole: number;
  /** A connecting socket is reported as writable although nothing is decided. */
  spuriousConnect: number;
  /** A connected socket is reported as readable although nothing has come. */
  spuriousEvent: number;
  /** An event is reported again. */
  duplicate: number;
  /** Events of one batch change their order. */
  reorder: number;
  /** A batch is cut short; the rest comes with the next. */
  cutBatch: number;
  /** Events go on to be reported for a descriptor that was closed (a copy of it lives on). */
  ghost: number;
  /** epoll_ctl answers ENOMEM or ENOSPC. */
  refuseInterest: number;
  /** A batch is collected, and delivered after other things have happened. */
  delayBatch: number;
  /** Time passes although there is work to do. */
  timePasses: number;
}

export const CALM: Readonly<FaultRates> = {
  meanwhile: 0,
  shortReceive: 0,
  shortSend: 0,
  again: 0,
  interruptWait: 0,
  interruptConnect: 0,
  interruptClose: 0,
  shortage: 0,
  abort: 0,
  reset: 0,
  urgent: 0,
  control: 0,
  refuse: 0,
  slowAnswer: 0,
  blackhole: 0,
  spuriousConnect: 0,
  spuriousEvent: 0,
  duplicate: 0,
  reorder: 0,
  cutBatch: 0,
  ghost: 0,
  refuseInterest: 0,
  delayBatch: 0,
  timePasses: 0,
};

/** The largest rate of each fault that is rare even in a bad run: a run must get somewhere. */
const RARE: Partial<FaultRates> = {
  reset: 0.01,
  abort: 0.2,
  refuse: 0.2,
  slowAnswer: 0.95,
  blackhole: 0.1,
  refuseInterest: 0.1,
  shortage: 0.3,
  urgent: 0.1,
  timePasses: 0.1,
};

/** The rates of one run: calm, a few faults, or a bit of everything. */
export function drawFaults(random: Random): FaultRates {
  const rates = { ...CALM };
  const mood = random.below(8);
  if (mood === 0) return rates;
  rates.meanwhile = draw(random, 0.7);
  for (const name of Object.keys(CALM) as (keyof FaultRates)[]) {
    if (name === "meanwhile" || !random.chance(mood < 3 ? 0.15 : mood < 7 ? 0.35 : 1)) continue;
    rates[name] = draw(random, RARE[name] ?? 0.5);
  }
  return rates;
}

/** Small rates as often as large ones. */
function draw(random: Random, largest: number): number {
  return largest / 2 ** random.below(5);
}
