/**
 * access_log.ts: a line for each response, written without anybody waiting for the disk.
 *
 * Lines are gathered in memory and written together, when there are enough of them or some time has passed,
 * one write at a time, through the thread pool. A sink that stalls costs lines, which are counted, and
 * never time or memory.
 */
import { closeSync, openSync, write } from "node:fs";
import type { Writer } from "../io/io.ts";
import { TCPAddr } from "../net/addr.ts";
import type { ResponseRecord } from "./record.ts";

/** Makes a line, without its end, of a response; undefined leaves it out. */
export type LogFormat = (record: ResponseRecord) => string | undefined;

export interface AccessLogOptions {
  /** Nginx's combined format by default. */
  format?: LogFormat;
  /** Lines are written when there are so many bytes of them, 64 KiB by default … */
  bufferBytes?: number;
  /** … or so many ms after the first of them; 1000 by default. */
  flushAfter?: number;
  /** What may wait in memory while the sink takes nothing; lines beyond it are dropped. 4 MiB by default. */
  mostBytes?: number;
  /** Opens the file anew when the process gets this signal, for logrotate; none by default. */
  reopenOn?: NodeJS.Signals;
}

const DEFAULT_BUFFER = 65_536;
const DEFAULT_FLUSH_MS = 1_000;
const DEFAULT_MOST = 4 << 20;
/** How long the end of a log, or of its server, waits for the sink, in ms. */
const CLOSE_MS = 5_000;

/** A file that is appended to. */
class LogFile implements Writer {
  private readonly path: string;
  private fd: number;
  private old: number[] = [];
  private busy = false;

  constructor(path: string) {
    this.path = path;
    this.fd = openSync(path, "a", 0o640);
  }

  /** Goes on in a file that is opened, or made, now. */
  reopen(): void {
    const fd = openSync(this.path, "a", 0o640);
    this.old.push(this.fd);
    this.fd = fd;
    this.closeOld();
  }

  async write(bytes: Uint8Array): Promise<number> {
    this.busy = true;
    try {
      const { fd } = this;
      for (let at = 0; at < bytes.length; ) at += await append(fd, bytes, at);
      return bytes.length;
    } finally {
      this.busy = false;
      this.closeOld();
    }
  }

  close(): void {
    this.old.push(this.fd);
    this.fd = -1;
    this.closeOld();
  }

  /** Not while a thread of the pool writes there. */
  private closeOld(): void {
    if (!this.busy) for (const fd of this.old.splice(0)) if (fd !== -1) closeSync(fd);
  }
}

function append(fd: number, bytes: Uint8Array, at: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, bytes, at, bytes.length - at, null, (error, n) => {
      if (error === null) resolve(n);
      else reject(error);
    });
  });
}

/**
 * An access log: for serve's option `accessLog`, also of several servers at a time. Its sink is a file, by
 * its path, or anything that bytes can be written to.
 *
 * @example
 * import { AccessLog, Response, serve } from "coronet/http";
 * const sink = { write: async (bytes: Uint8Array | string) => (console.log(String(bytes)), bytes.length) };
 * await using log = new AccessLog(sink, { format: (r) => `${r.method} ${r.target} ${r.status}` });
 * await using server = await serve("127.0.0.1:0", () => new Response("hi"), { accessLog: log });
 * await (await fetch(`http://${server.addr}/hello`)).text();
 * await server.shutdown(); // GET /hello 200
 */
export class AccessLog implements AsyncDisposable {
  /** Lines that were dropped: the sink was too slow, or failed. */
  dropped = 0;
  /** Lines that the sink has taken. */
  written = 0;
  private readonly sink: Writer;
  private readonly file: LogFile | undefined;
  private readonly format: LogFormat;
  private readonly bufferBytes: number;
  private readonly flushAfter: number;
  private readonly mostBytes: number;
  private readonly signal: NodeJS.Signals | undefined;
  private lines: string[] = [];
  /** Characters that wait, and those on their way. */
  private gathered = 0;
  private inFlight = 0;
  private writing: Promise<void> | undefined = undefined;
  private timer: NodeJS.Timeout | undefined = undefined;
  private closed = false;
  private failing = false;

  constructor(sink: string | Writer, options: AccessLogOptions = {}) {
    this.format = options.format ?? combined;
    this.bufferBytes = positive(options.bufferBytes ?? DEFAULT_BUFFER, "bufferBytes");
    this.flushAfter = positive(options.flushAfter ?? DEFAULT_FLUSH_MS, "flushAfter");
    this.mostBytes = positive(options.mostBytes ?? DEFAULT_MOST, "mostBytes");
    this.file = typeof sink === "string" ? new LogFile(sink) : undefined;
    this.sink = this.file ?? (sink as Writer);
    this.signal = options.reopenOn;
    if (this.signal !== undefined) process.on(this.signal, this.onSignal);
  }

  /** @internal A response was sent. */
  add(record: ResponseRecord): void {
    const line = this.format(record);
    if (line === undefined) return;
    if (this.closed || this.gathered + this.inFlight + line.length >= this.mostBytes) {
      this.dropped++;
      return;
    }
    this.lines.push(line);
    this.gathered += line.length + 1;
    if (this.gathered >= this.bufferBytes) this.begin();
    else if (this.timer === undefined) {
      this.timer = setTimeout(() => this.begin(), this.flushAfter).unref();
    }
  }

  /** Resolves when the sink has been given every line there is now. */
  async flush(): Promise<void> {
    await this.writing;
    this.begin();
    await this.writing;
  }

  /** Opens the file anew, after it was moved away. Throws when that cannot be done; the log goes on then. */
  reopen(): void {
    this.file?.reopen();
  }

  /** Writes what there is and closes the file. A sink that takes nothing is given up after 5 s. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    if (this.signal !== undefined) process.off(this.signal, this.onSignal);
    await this.settle();
    this.dropped += this.lines.splice(0).length;
    this.file?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal As flush, but a sink that takes nothing is not waited for for ever. */
  async settle(): Promise<void> {
    let limit: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      limit = setTimeout(resolve, CLOSE_MS);
    });
    await Promise.race([this.flush(), late]);
    clearTimeout(limit);
  }

  private readonly onSignal = (): void => {
    try {
      this.reopen();
    } catch (error) {
      console.error("access log:", error);
    }
  };

  /** Begins to write what has been gathered; what comes meanwhile is written behind it. */
  private begin(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.writing !== undefined || this.lines.length === 0) return;
    this.writing = this.writeLines();
  }

  private async writeLines(): Promise<void> {
    const { lines } = this;
    this.lines = [];
    this.inFlight = this.gathered;
    this.gathered = 0;
    try {
      await this.sink.write(Buffer.from(`${lines.join("\n")}\n`));
      this.written += lines.length;
      this.failing = false;
    } catch (error) {
      this.dropped += lines.length;
      if (!this.failing) console.error("access log: lines are lost:", error);
      this.failing = true;
    }
    this.inFlight = 0;
    this.writing = undefined;
    if (this.gathered >= this.bufferBytes) this.begin();
    else if (this.lines.length > 0 && this.timer === undefined) {
      this.timer = setTimeout(() => this.begin(), this.flushAfter).unref();
    }
  }
}

function positive(n: number, name: string): number {
  if (n > 0) return n;
  throw new RangeError(`AccessLog: ${name}: expected a number above 0, got ${n}`);
}

// What a line, or a terminal that shows it, could take for something else.
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be in there
const UNSAFE = /["\\\x00-\x1f\x7f-\xff]/g;

function escaped(text: string | null): string {
  if (text === null || text === "") return "-";
  return text.replace(UNSAFE, (c) => {
    const hex = c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0");
    return `\\x${hex}`;
  });
}

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
let lastSecond = -1;
let lastTime = "";

/** "10/Oct/2000:13:55:36 -0700", made once a second. */
function localTime(): string {
  const now = Date.now();
  const second = Math.floor(now / 1000);
  if (second === lastSecond) return lastTime;
  const date = new Date(now);
  const two = (n: number): string => String(n).padStart(2, "0");
  const day = `${two(date.getDate())}/${MONTHS[date.getMonth()]}/${date.getFullYear()}`;
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  const offset = -date.getTimezoneOffset();
  const [sign, minutes] = [offset < 0 ? "-" : "+", Math.abs(offset)];
  lastTime = `${day}:${time} ${sign}${two(Math.floor(minutes / 60))}${two(minutes % 60)}`;
  lastSecond = second;
  return lastTime;
}

/** The format that nginx calls combined. What could end a line or a field early is written as \xHH. */
export function combined(record: ResponseRecord): string {
  const { method, target, version, status, bodyBytesSent, remoteAddr } = record;
  const from = remoteAddr instanceof TCPAddr ? remoteAddr.ip : "unix:";
  const line = method === "" ? "-" : escaped(`${method} ${target} ${version}`);
  return (
    `${from} - - [${localTime()}] "${line}" ${status} ${bodyBytesSent} ` +
    `"${escaped(record.referer)}" "${escaped(record.userAgent)}"`
  );
}
