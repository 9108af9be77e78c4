/** timers.test.ts: the runtime's timers against a sorted list, on a host that is stepped by hand. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { FakeClock } from "../../testing/fake_clock.ts";
import type { Host } from "./host.ts";
import { milliseconds, Timer, Timers } from "./timers.ts";

/** A host whose one timer is looked at and fired by the test. */
class TimerHost implements Host {
  at = Infinity;
  sets = 0;
  private callback: () => void = () => {};
  private readonly clock: FakeClock;

  constructor(clock: FakeClock) {
    this.clock = clock;
  }

  watch(): void {}
  ref(): void {}
  soon(): void {}

  setTimer(ms: number, callback: () => void): void {
    assert.ok(ms >= 1, `a host timer of ${ms} ms`);
    this.sets++;
    this.at = this.clock.time + ms;
    this.callback = callback;
  }

  /** Fires the timer now, whatever its time. */
  fire(): void {
    this.at = Infinity;
    this.callback();
  }

  /** Lets time pass to `until`; the host's timer fires when it is due. */
  runTo(until: number): void {
    while (this.at <= until) {
      this.clock.time = Math.max(this.clock.time, this.at);
      this.fire();
    }
    this.clock.time = until;
  }
}

class Probe extends Timer {
  readonly fires: number[] = [];
  onFire: (now: number) => void = () => {};

  fire(now: number): void {
    assert.equal(this.index, -1, "a timer that fires is outside the heap");
    this.fires.push(now);
    this.onFire(now);
  }
}

function setup(): { clock: FakeClock; host: TimerHost; timers: Timers } {
  const clock = new FakeClock(0);
  const host = new TimerHost(clock);
  return { clock, host, timers: new Timers(clock, host) };
}

function armed(timers: Timers, when: number): Probe {
  const probe = new Probe();
  timers.arm(probe, when);
  return probe;
}

describe("a timer", () => {
  test("fires once, at its time", () => {
    const { host, timers } = setup();
    const probe = armed(timers, 10);
    host.runTo(9.999);
    assert.deepEqual(probe.fires, []);
    host.runTo(100);
    assert.deepEqual(probe.fires, [10]);
    assert.equal(timers.size, 0);
    assert.equal(timers.fired, 1);
  });

  test("does not fire early when the host's timer does", () => {
    const { clock, host, timers } = setup();
    const probe = armed(timers, 10);
    clock.time = 9.5;
    host.fire();
    assert.deepEqual(probe.fires, []);
    assert.ok(host.at >= 10, "the host is asked again");
    host.runTo(20);
    assert.equal(probe.fires.length, 1);
  });

  test("that is overdue when it is armed fires as soon as the host can", () => {
    const { clock, host, timers } = setup();
    clock.time = 50;
    const probe = armed(timers, 10);
    assert.deepEqual(probe.fires, [], "never inside arm");
    host.runTo(51);
    assert.deepEqual(probe.fires, [51]);
    assert.equal(timers.lateness, 41);
  });

  test("that is disarmed does not fire", () => {
    const { host, timers } = setup();
    const probe = armed(timers, 10);
    timers.disarm(probe);
    timers.disarm(probe);
    assert.equal(timers.size, 0);
    host.runTo(100);
    assert.deepEqual(probe.fires, []);
  });

  test("can be armed again after it has fired and after it was disarmed", () => {
    const { host, timers } = setup();
    const probe = armed(timers, 10);
    host.runTo(10);
    timers.arm(probe, 20);
    host.runTo(20);
    timers.arm(probe, 30);
    timers.disarm(probe);
    timers.arm(probe, 40);
    host.runTo(100);
    assert.deepEqual(probe.fires, [10, 20, 40]);
  });

  test("that is moved later by its owner's store alone is armed again when it fires", () => {
    const { host, timers } = setup();
    let due = 30;
    const probe = armed(timers, 10);
    probe.onFire = (now) => {
      if (due > now) timers.arm(probe, due);
    };
    host.runTo(29);
    assert.deepEqual(probe.fires, [10]);
    due = 0;
    host.runTo(100);
    assert.deepEqual(probe.fires, [10, 30]);
  });

  test("for ever never troubles the host", () => {
    const { host, timers } = setup();
    armed(timers, Infinity);
    assert.equal(host.sets, 0);
    assert.equal(timers.next, Infinity);
  });
});

describe("timers that are due together", () => {
  test("are all collected before the first one fires", () => {
    const { host, timers } = setup();
    const probes = [1, 2, 3].map((when) => armed(timers, when));
    const sizes: number[] = [];
    for (const probe of probes) probe.onFire = () => sizes.push(timers.size);
    host.at = Infinity;
    host.runTo(5);
    timers.run();
    assert.deepEqual(sizes, [0, 0, 0]);
  });

  test("one can disarm another that has not fired yet", () => {
    const { clock, timers } = setup();
    const first = armed(timers, 1);
    const second = armed(timers, 2);
    first.onFire = () => timers.disarm(second);
    clock.time = 5;
    timers.run();
    assert.equal(first.fires.length, 1);
    assert.deepEqual(second.fires, []);
    assert.equal(timers.fired, 1);
  });

  test("one can move another later, which then fires once, later", () => {
    const { clock, host, timers } = setup();
    const first = armed(timers, 1);
    const second = armed(timers, 2);
    first.onFire = () => timers.arm(second, 50);
    clock.time = 5;
    timers.run();
    assert.deepEqual(second.fires, []);
    host.runTo(100);
    assert.deepEqual(second.fires, [50]);
  });

  test("one that moves another to a time that is past as well lets it fire once", () => {
    const { clock, host, timers } = setup();
    const first = armed(timers, 1);
    const second = armed(timers, 2);
    first.onFire = () => timers.arm(second, 3);
    clock.time = 5;
    timers.run();
    host.runTo(10);
    assert.equal(second.fires.length, 1);
    assert.equal(timers.size, 0);
  });

  test("one that arms itself for now fires in the next run, not in this one for ever", () => {
    const { clock, timers } = setup();
    const probe = armed(timers, 1);
    probe.onFire = (now) => timers.arm(probe, now);
    clock.time = 5;
    timers.run();
    assert.equal(probe.fires.length, 1);
    timers.run();
    assert.equal(probe.fires.length, 2);
  });
});

describe("the host's timer", () => {
  test("is set for the earliest, and not touched for later ones", () => {
    const { host, timers } = setup();
    armed(timers, 100);
    assert.equal(host.at, 100);
    armed(timers, 200);
    assert.deepEqual([host.at, host.sets], [100, 1]);
    armed(timers, 50);
    assert.deepEqual([host.at, host.sets], [50, 2]);
    assert.equal(timers.next, 50);
  });

  test("may be early for a timer that is gone, and is then set for the next one", () => {
    const { host, timers } = setup();
    const gone = armed(timers, 10);
    const probe = armed(timers, 60);
    timers.disarm(gone);
    assert.equal(host.at, 10);
    host.runTo(10);
    assert.equal(host.at, 60);
    host.runTo(60);
    assert.deepEqual(probe.fires, [60]);
    assert.equal(host.at, Infinity, "nothing is left to wait for");
  });

  test("is set anew for a timer that is moved earlier", () => {
    const { host, timers } = setup();
    const probe = armed(timers, 100);
    timers.arm(probe, 20);
    assert.equal(host.at, 20);
    host.runTo(20);
    assert.deepEqual(probe.fires, [20]);
  });
});

type Step =
  | { kind: "arm"; which: number; after: number }
  | { kind: "disarm"; which: number }
  | { kind: "pass"; ms: number }
  | { kind: "early" };

const PROBES = 8;
const which = fc.nat({ max: PROBES - 1 });
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant("arm" as const), which, after: fc.nat(60) }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("disarm" as const), which }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("pass" as const), ms: fc.nat(40) }) },
    { weight: 1, arbitrary: fc.constant({ kind: "early" as const }) },
  ),
  { maxLength: 60 },
);

test("any sequence of arming, moving, disarming and time fires what a sorted list would", () => {
  fc.assert(
    fc.property(steps, (sequence) => {
      const { clock, host, timers } = setup();
      const model = new Map<Probe, number>();
      const fired: Probe[] = [];
      const probes = Array.from({ length: PROBES }, () => {
        const probe = new Probe();
        probe.onFire = (now) => {
          fired.push(probe);
          const when = model.get(probe);
          assert.ok(when !== undefined, "it was disarmed, or has fired already");
          assert.ok(now >= when, "it is early");
          model.delete(probe);
        };
        return probe;
      });
      for (const step of sequence) {
        if (step.kind === "arm") {
          const probe = probes[step.which] as Probe;
          timers.arm(probe, clock.time + step.after);
          model.set(probe, clock.time + step.after);
        } else if (step.kind === "disarm") {
          const probe = probes[step.which] as Probe;
          timers.disarm(probe);
          model.delete(probe);
        } else if (step.kind === "early") host.fire();
        else {
          fired.length = 0;
          const expected = [...model].filter(([, when]) => when <= clock.time + step.ms - 1);
          host.runTo(clock.time + step.ms);
          // Those of one host timer fire in the order of their times.
          for (const [probe] of expected) assert.ok(fired.includes(probe), "one did not fire");
        }
        assert.equal(timers.size, model.size);
        assert.equal(timers.next, Math.min(Infinity, ...model.values()));
      }
    }),
    { numRuns: 300 },
  );
});

test("timers of one run fire in the order of their times", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(1000), { minLength: 1, maxLength: 100 }), (times) => {
      const { clock, timers } = setup();
      const order: number[] = [];
      for (const when of times) {
        const probe = armed(timers, when);
        probe.onFire = () => order.push(when);
      }
      clock.time = 2000;
      timers.run();
      assert.deepEqual(
        order,
        times.sort((a, b) => a - b),
      );
    }),
  );
});

test("a caller's duration is a number, and NaN is none", () => {
  assert.equal(milliseconds(0, "sleep"), 0);
  assert.equal(milliseconds(-5, "sleep"), -5);
  assert.equal(milliseconds(Infinity, "sleep"), Infinity);
  assert.throws(() => milliseconds(Number.NaN, "sleep"), /^TypeError: sleep: expected a number/);
  assert.throws(() => milliseconds("5" as never, "after"), /after: expected a number .*got 5/);
});
