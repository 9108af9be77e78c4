/**
 * encode.ts: profiles in pprof's own format: a gzipped protobuf message
 * (https://github.com/google/pprof/blob/main/proto/profile.proto).
 *
 * A profile is a list of samples: a stack, the innermost frame first, one value for each type of value,
 * and labels. Equal stacks with equal labels are one sample; functions and places are stored once.
 */
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import {
  Label,
  Line,
  Location,
  Mapping,
  Function as PprofFunction,
  Profile,
  Sample,
  StringTable,
  ValueType,
} from "pprof-format";
import type { Labels } from "../labels.ts";

/** A frame of a stack. */
export interface Frame {
  name: string;
  /** A path, or what V8 calls the script; "" for what V8 itself does. */
  file: string;
  /** From 1; 0 when it is not known. */
  line: number;
  /** Where the function begins; 0 when it is not known. */
  startLine: number;
}

/** What a value counts, and in which unit. */
export type ValueKind = readonly [type: string, unit: string];

/** A script's address as a path. */
export function pathOf(url: string): string {
  if (!url.startsWith("file:")) return url;
  try {
    return fileURLToPath(url);
  } catch {
    return url;
  }
}

const PLACE = /^(?:(.*) \()?(.*?):(\d+):\d+\)?$/;

/** A frame of a stack (stacks.ts) or a place: "function (file:line:column)" or "file:line:column". */
export function frameOf(text: string): Frame {
  const [, name = "(anonymous)", file = "", line = "0"] = PLACE.exec(text) ?? [text, text];
  return { name, file: pathOf(file), line: Number(line), startLine: 0 };
}

export class ProfileBuilder {
  private readonly strings = new StringTable();
  private readonly functions = new Map<string, PprofFunction>();
  private readonly locations = new Map<string, Location>();
  private readonly samples = new Map<string, Sample>();
  private readonly kinds: ValueType[];
  private readonly periodType: ValueType;
  private readonly period: number;

  /** `period` units of `periodType` lie between two samples, on average. */
  constructor(kinds: readonly ValueKind[], periodType: ValueKind, period: number) {
    this.kinds = kinds.map((kind) => this.kind(kind));
    this.periodType = this.kind(periodType);
    this.period = period;
  }

  /** Adds a sample; values of a sample that is there already are added to it. */
  add(stack: readonly Frame[], values: readonly number[], labels: Labels = {}): void {
    const locationId = stack.map((frame) => this.location(frame).id);
    const key = JSON.stringify([locationId.map(Number), labels]);
    const known = this.samples.get(key);
    if (known !== undefined) {
      known.value = known.value.map((value, i) => Number(value) + Math.round(values[i] as number));
      return;
    }
    const label = Object.entries(labels).map(
      ([name, value]) =>
        new Label({ key: this.strings.dedup(name), str: this.strings.dedup(value) }),
    );
    this.samples.set(key, new Sample({ locationId, value: values.map(Math.round), label }));
  }

  /** The profile's bytes. Times are in milliseconds: when it began (since the epoch), how long it took. */
  encode(began: number, duration: number): Uint8Array {
    // One mapping that says that names, files and lines are known: pprof looks for no binary then.
    const mapping = new Mapping({
      id: 1,
      filename: this.strings.dedup(process.argv[1] ?? process.execPath),
      hasFunctions: true,
      hasFilenames: true,
      hasLineNumbers: true,
    });
    const profile = new Profile({
      sampleType: this.kinds,
      sample: [...this.samples.values()],
      mapping: [mapping],
      location: [...this.locations.values()],
      function: [...this.functions.values()],
      stringTable: this.strings,
      timeNanos: BigInt(Math.round(began * 1000)) * 1000n,
      durationNanos: Math.round(duration * 1e6),
      periodType: this.periodType,
      period: this.period,
    });
    return gzipSync(profile.encode());
  }

  private kind([type, unit]: ValueKind): ValueType {
    return new ValueType({ type: this.strings.dedup(type), unit: this.strings.dedup(unit) });
  }

  private location(frame: Frame): Location {
    const fn = this.function(frame);
    const key = `${fn.id}:${frame.line}`;
    let location = this.locations.get(key);
    if (location === undefined) {
      const line = new Line({ functionId: fn.id, line: frame.line });
      location = new Location({ id: this.locations.size + 1, mappingId: 1, line: [line] });
      this.locations.set(key, location);
    }
    return location;
  }

  private function(frame: Frame): PprofFunction {
    const key = JSON.stringify([frame.name, frame.file, frame.startLine]);
    let fn = this.functions.get(key);
    if (fn === undefined) {
      const name = this.strings.dedup(frame.name);
      const filename = this.strings.dedup(frame.file);
      const { startLine } = frame;
      const id = this.functions.size + 1;
      fn = new PprofFunction({ id, name, systemName: name, filename, startLine });
      this.functions.set(key, fn);
    }
    return fn;
  }
}
