/**
 * llhttp.ts: the HTTP/1 state machine of Node itself (llhttp), compiled to WebAssembly, one per thread.
 *
 * The module is undici's, taken when this is compiled (docs/dependencies.md says why). It is given bytes
 * in its own memory and calls back with places in that memory, synchronously: one input buffer serves all connections.
 *
 * Invariants
 *  - Views of the memory are made anew whenever an allocation may have made it grow.
 *  - A state machine is used for one message at a time and reset before each.
 */
import { readFileSync } from "node:fs";

/** Bytes that are parsed in one call. */
export const INPUT_SIZE = 65_536;

/** What a callback or a run may answer (llhttp_errno_t). */
export const OK = 0;
export const INVALID_METHOD = 6;
export const INVALID_VERSION = 9;
export const PAUSED = 21;
export const PAUSED_H2 = 23;

/** Answer of onHead: whatever the headers say, there is no body. */
export const NO_BODY = 1;

/** Which kind of message a machine is for (llhttp_type_t). */
export const REQUEST = 1;
export const RESPONSE = 2;

/** Who is told what was found; places are counted from where the run began. */
export interface Events {
  /** Of the first line: the url of a request, the reason phrase of a response. */
  onLine(at: number, length: number): void;
  onName(at: number, length: number): void;
  onValue(at: number, length: number): void;
  /** The head is complete; answers OK or NO_BODY. The code is a response's status. */
  onHead(code: number, upgrade: boolean, keepAlive: boolean): number;
  onBody(at: number, length: number): void;
}

/** The part of WebAssembly that is used: Node's types leave it to those of browsers. */
interface Wasm {
  Module: new (code: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { exports: unknown };
}

const wasm = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly;

/** Node's own parts of toString and write, without the choice between encodings. */
export interface Latin1Buffer extends Buffer {
  latin1Slice(start: number, end: number): string;
}

interface Exports {
  memory: { readonly buffer: ArrayBuffer };
  _initialize(): void;
  malloc(bytes: number): number;
  llhttp_alloc(type: number): number;
  llhttp_reset(machine: number): void;
  llhttp_execute(machine: number, at: number, length: number): number;
  llhttp_get_error_pos(machine: number): number;
  llhttp_get_error_reason(machine: number): number;
  llhttp_get_method(machine: number): number;
  llhttp_get_http_major(machine: number): number;
  llhttp_get_http_minor(machine: number): number;
  llhttp_method_name(method: number): number;
}

export class Llhttp {
  /** The input buffer. Whoever writes to it says so with `hold` or `drop`. */
  input: Latin1Buffer;
  /** The same memory, for copies and comparisons of its parts. */
  bytes: Uint8Array;
  view: DataView;
  /** The chunk whose bytes the input holds, the first and last of them, and where in the input they begin. */
  private held: Uint8Array | undefined = undefined;
  private heldFrom = 0;
  private heldTo = 0;
  private heldAt = 0;
  /** Address that places are counted from. */
  private origin = 0;
  private events: Events | undefined = undefined;
  private readonly lib: Exports;
  private readonly base: number;
  /** Machines that no message is using, by type. */
  private readonly spare: number[][] = [[], [], []];
  private readonly methods: string[] = [];

  constructor() {
    const code = readFileSync(new URL("./llhttp.wasm", import.meta.url));
    const instance = new wasm.Instance(new wasm.Module(code), { env: this.callbacks() });
    this.lib = instance.exports as Exports;
    this.lib._initialize();
    this.base = this.lib.malloc(INPUT_SIZE);
    this.input = this.makeInput();
    this.bytes = new Uint8Array(this.input.buffer, this.base, INPUT_SIZE);
    this.view = new DataView(this.input.buffer, this.base, INPUT_SIZE);
  }

  /** Takes a machine for one message of that type. */
  take(type: number): number {
    const machine = this.spare[type]?.pop();
    if (machine !== undefined) {
      this.lib.llhttp_reset(machine);
      return machine;
    }
    const fresh = this.lib.llhttp_alloc(type);
    if (fresh === 0) throw new RangeError("http: no memory for a parser");
    if (this.input.buffer !== this.lib.memory.buffer) {
      this.input = this.makeInput();
      this.bytes = new Uint8Array(this.input.buffer, this.base, INPUT_SIZE);
      this.view = new DataView(this.input.buffer, this.base, INPUT_SIZE);
    }
    return fresh;
  }

  give(machine: number, type: number): void {
    this.spare[type]?.push(machine);
  }

  /** The input's content is not a chunk's: somebody is about to read into it. */
  drop(): void {
    this.held = undefined;
  }

  /** The input holds this chunk, all of it, from `at` on. */
  hold(chunk: Uint8Array, at: number): void {
    this.held = chunk;
    this.heldFrom = 0;
    this.heldTo = chunk.length;
    this.heldAt = at;
  }

  /**
   * Sees to it that the input holds bytes of a chunk from `from` on, at most so many: where they begin in
   * the input.
   */
  place(chunk: Uint8Array, from: number, most: number): number {
    const to = Math.min(chunk.length, from + most);
    const there = this.held === chunk && from >= this.heldFrom && this.heldTo >= to;
    if (!there) {
      this.input.set(from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to));
      this.held = chunk;
      this.heldFrom = from;
      this.heldTo = to;
      this.heldAt = 0;
    }
    return this.heldAt + from - this.heldFrom;
  }

  /** Parses bytes of the input. OK, PAUSED at the end of a message, or an error's number. */
  run(machine: number, at: number, length: number, events: Events): number {
    this.events = events;
    this.origin = this.base + at;
    return this.lib.llhttp_execute(machine, this.origin, length);
  }

  /** Where the last run stopped, when it did not answer OK, from where it began. */
  stoppedAt(machine: number): number {
    return this.lib.llhttp_get_error_pos(machine) - this.origin;
  }

  /** Why the last run failed, in words. */
  reason(machine: number): string {
    return this.cString(this.lib.llhttp_get_error_reason(machine));
  }

  /** The version as a number: 11 for HTTP/1.1. */
  version(machine: number): number {
    const { lib } = this;
    return lib.llhttp_get_http_major(machine) * 10 + lib.llhttp_get_http_minor(machine);
  }

  method(machine: number): string {
    const number = this.lib.llhttp_get_method(machine);
    const known = this.methods[number];
    if (known !== undefined) return known;
    const name = this.cString(this.lib.llhttp_method_name(number));
    this.methods[number] = name;
    return name;
  }

  private makeInput(): Latin1Buffer {
    return Buffer.from(this.lib.memory.buffer, this.base, INPUT_SIZE) as Latin1Buffer;
  }

  private cString(at: number): string {
    if (at === 0) return "";
    const memory = Buffer.from(this.lib.memory.buffer);
    return memory.toString("latin1", at, memory.indexOf(0, at));
  }

  // One function each, so that each call has one target: a place is told up to three times a header.
  private callbacks(): Record<string, (machine: number, at: number, length: number) => number> {
    return {
      wasm_on_message_begin: () => OK,
      wasm_on_status: (_machine, at, length) => {
        (this.events as Events).onLine(at - this.origin, length);
        return OK;
      },
      wasm_on_url: (_machine, at, length) => {
        (this.events as Events).onLine(at - this.origin, length);
        return OK;
      },
      wasm_on_header_field: (_machine, at, length) => {
        (this.events as Events).onName(at - this.origin, length);
        return OK;
      },
      wasm_on_header_value: (_machine, at, length) => {
        (this.events as Events).onValue(at - this.origin, length);
        return OK;
      },
      wasm_on_body: (_machine, at, length) => {
        (this.events as Events).onBody(at - this.origin, length);
        return OK;
      },
      wasm_on_headers_complete: ((_machine: number, code: number, up: number, keep: number) =>
        (this.events as Events).onHead(code, up !== 0, keep !== 0)) as never,
      // Whatever stands behind the message is not this message's: the run stops here.
      wasm_on_message_complete: () => PAUSED,
    };
  }
}

let shared: Llhttp | undefined;

/** The thread's one. */
export function llhttp(): Llhttp {
  shared ??= new Llhttp();
  return shared;
}
