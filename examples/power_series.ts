// run: 10
// expect: exp  1 1 1/2 1/6 1/24 1/120 1/720 1/5040 1/40320 1/362880
// expect: tan  0 1 0 1/3 0 2/15 0 17/315 0 62/2835
/**
 * power_series.ts: power series as channels of their coefficients (M. D. McIlroy, "Squinting at Power
 * Series", 1990), the classic that Go carries among its tests.
 *
 * A series has no end, so it is a goroutine that makes one coefficient after the other, each when it is
 * asked for. Sums, products and integrals are goroutines between channels. And because a series may be
 * defined by itself, a differential equation is a loop of channels: exp is its own integral with 1 in
 * front, and tan' = 1 + tan². Were a series to work ahead, such a loop would never come to rest.
 *
 *   node dist/examples/power_series.js 10     ten coefficients of each
 */
import { argv } from "node:process";
import { Chan, go, Mutex } from "coronet";

/** A fraction in lowest terms. */
class Ratio {
  readonly top: bigint;
  readonly bottom: bigint;

  constructor(top: bigint, bottom = 1n) {
    let [a, b] = [top < 0n ? -top : top, bottom];
    while (b !== 0n) [a, b] = [b, a % b];
    this.top = top / a;
    this.bottom = bottom / a;
  }

  plus({ top, bottom }: Ratio) {
    return new Ratio(this.top * bottom + top * this.bottom, this.bottom * bottom);
  }

  times({ top, bottom }: Ratio) {
    return new Ratio(this.top * top, this.bottom * bottom);
  }

  toString() {
    return this.bottom === 1n ? `${this.top}` : `${this.top}/${this.bottom}`;
  }
}

/** A goroutine that answers every request with its next coefficient. */
class Series {
  private readonly requests = new Chan<true>();
  private readonly answers = new Chan<Ratio>();

  constructor(coefficient: (n: number) => Ratio | Promise<Ratio>) {
    go(async () => {
      for (let n = 0; ; n++) {
        await this.requests.receive();
        await this.answers.send(await coefficient(n));
      }
    }).unref();
  }

  async next(): Promise<Ratio> {
    await this.requests.send(true);
    const [coefficient] = await this.answers.receive();
    return coefficient as Ratio;
  }
}

/** The same series so many times; one copy may be ahead of the others. */
function split(next: () => Promise<Ratio>, copies: number): Series[] {
  const known: Ratio[] = [];
  const asking = new Mutex();
  const nth = async (n: number): Promise<Ratio> => {
    if (n >= known.length) {
      using _ = await asking.lock();
      if (n >= known.length) known.push(await next());
    }
    return known[n] as Ratio;
  };
  return Array.from({ length: copies }, () => new Series(nth));
}

function constant(value: bigint): Series {
  return new Series((n) => new Ratio(n === 0 ? value : 0n));
}

function plus(f: Series, g: Series): Series {
  return new Series(async () => (await f.next()).plus(await g.next()));
}

/** Each coefficient of a product needs all those before: they are kept. */
function times(f: Series, g: Series): Series {
  const [fs, gs]: [Ratio[], Ratio[]] = [[], []];
  return new Series(async (n) => {
    fs.push(await f.next());
    gs.push(await g.next());
    return fs.reduce((sum, a, i) => sum.plus(a.times(gs[n - i] as Ratio)), new Ratio(0n));
  });
}

/** The integral from 0, plus a constant. It knows its first coefficient without asking for any. */
function integral(first: bigint, f: Series): Series {
  return new Series(async (n) =>
    n === 0 ? new Ratio(first) : (await f.next()).times(new Ratio(1n, BigInt(n))),
  );
}

/** A series that is made of copies of itself. */
function fix(copies: number, define: (itself: Series[]) => Series): Series {
  const [result, ...itself] = split(() => made.next(), copies + 1) as [Series, ...Series[]];
  const made = define(itself);
  return result;
}

const exp = fix(1, ([itself]) => integral(1n, itself as Series));
const tan = fix(2, ([a, b]) => integral(0n, plus(constant(1n), times(a as Series, b as Series))));

const count = Number(argv[2] ?? 10);
for (const [name, f] of Object.entries({ exp, tan })) {
  const coefficients: Ratio[] = [];
  for (let i = 0; i < count; i++) coefficients.push(await f.next());
  console.log(`${name}  ${coefficients.join(" ")}`);
}
