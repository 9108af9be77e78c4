/**
 * foreign.ts: work that Node has under way and that is none of Coronet's: files, timers, sockets.
 *
 * Learnt from async_hooks while it watches, because process.getActiveResourcesInfo() leaves out the
 * thread pool's work for node:crypto and node:zlib, and in Node 26 some of node:fs's. A request (a
 * read, a lookup, a hash) is under way until its callback has run, anything else until it is closed.
 * What was there before it began to watch, and what does not keep the process alive, does not count.
 */
import { type AsyncHook, createHook } from "node:async_hooks";

const REQUEST = /(?:REQ|REQPROMISE|REQCALLBACK|REQWRAP|REQUEST|QUERYWRAP)$/;
const STREAM_REQUEST = /^(?:TCPCONNECT|PIPECONNECT|UDPSEND|SHUTDOWN|WRITE)WRAP$/;
/** An object of JavaScript that only stands for a socket, which is counted itself. */
const NO_REQUEST = "HTTPCLIENTREQUEST";
const LASTING = new Set([
  "Timeout",
  "FSEVENTWRAP",
  "MESSAGEPORT",
  "PIPESERVERWRAP",
  "PIPEWRAP",
  "PROCESSWRAP",
  "STATWATCHER",
  "TCPSERVERWRAP",
  "TCPWRAP",
  "UDPWRAP",
  "WORKER",
  "ZLIB",
]);

interface Work {
  type: string;
  isRequest: boolean;
  /** Weak, because the end of some is noticed when they are collected. */
  resource: WeakRef<object>;
}

/** What there is to see of a resource: whether it keeps the process alive, a compressor's input. */
interface Resource {
  hasRef?: () => boolean;
  buffer?: unknown;
}

function isUnderWay({ type, isRequest, resource }: Work): boolean {
  const target = resource.deref() as Resource | undefined;
  if (isRequest) return true;
  if (target === undefined) return false;
  // A compressor lasts until it is collected; it works while it has input.
  if (type === "ZLIB") return target.buffer !== null && target.buffer !== undefined;
  return typeof target.hasRef !== "function" || target.hasRef();
}

export class ForeignWork {
  private readonly work = new Map<number, Work>();
  private readonly hook: AsyncHook;

  constructor() {
    const { work } = this;
    this.hook = createHook({
      init(id, type, _trigger, resource) {
        if (type === "PROMISE" || type === NO_REQUEST) return;
        const isRequest = REQUEST.test(type) || STREAM_REQUEST.test(type);
        if (!isRequest && !LASTING.has(type)) return;
        work.set(id, { type, isRequest, resource: new WeakRef(resource) });
      },
      after(id) {
        if (work.get(id)?.isRequest) work.delete(id);
      },
      destroy(id) {
        work.delete(id);
      },
    });
  }

  watch(): void {
    this.hook.enable();
  }

  stop(): void {
    this.hook.disable();
    this.work.clear();
  }

  /** What is under way now. */
  get names(): string[] {
    return [...this.work.values()].filter(isUnderWay).map(({ type }) => type);
  }

  /** Somebody asked for another turn of the loop. */
  get hasImmediates(): boolean {
    return process.getActiveResourcesInfo().includes("Immediate");
  }
}
