/**
 * control.ts: the control socket of a process: others ask it what it is doing.
 *
 * Each thread that takes part listens on a unix socket of its own, PID.THREAD.sock, in a directory that
 * only this user can enter. A request is one line, "command" or "command JSON"; the answer is one line
 * of JSON, {"ok": …} or {"error": "…"}; a connection takes any number of them.
 *
 * It stands on node:net and not on Coronet's own sockets: what looks must not be seen in what it looks
 * at, must not keep the process alive and must not hide that everything else sleeps.
 */
import { chmodSync, lstatSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { createServer, connect as dial, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { threadId } from "node:worker_threads";

/**
 * Answers a request; what it gives must be something that JSON can say. The signal is aborted when who asked
 * has gone.
 */
export type ControlHandler = (argument: unknown, gone: AbortSignal) => unknown;

const LONGEST_REQUEST = 65_536;
const PATIENCE_MS = 5000;

const handlers = new Map<string, ControlHandler>();

/** Adds a command to this thread's control socket. */
export function onControl(command: string, handler: ControlHandler): void {
  handlers.set(command, handler);
}

/** Where the sockets of a user's processes are. */
export function controlFolder(uid = process.getuid?.()): string {
  const { CORONET_DEBUG_DIR } = process.env;
  return CORONET_DEBUG_DIR ?? join(tmpdir(), `coronet-${uid ?? "user"}`);
}

/** Throws unless the directory is there and nobody else can enter it. */
function checkFolder(folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 });
    // The umask may have taken more away than others' rights.
    chmodSync(folder, 0o700);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const { uid, mode } = lstatSync(folder);
  const own = uid === process.getuid?.();
  if (lstatSync(folder).isDirectory() && own && (mode & 0o077) === 0) return;
  throw new Error(
    `coronet: ${folder} must be a directory of this user's that nobody else can enter (mode 0700); ` +
      "remove it, or name another one in CORONET_DEBUG_DIR",
  );
}

async function answer(line: string, gone: AbortSignal): Promise<string> {
  const [, command = "", argument = ""] = /^(\S*)\s*(.*)$/.exec(line) ?? [];
  try {
    const handler = handlers.get(command);
    if (handler === undefined) {
      throw new Error(
        `unknown command "${command}"; known: ${[...handlers.keys()].sort().join(", ")}`,
      );
    }
    const ok = await handler(argument === "" ? undefined : JSON.parse(argument), gone);
    return JSON.stringify({ ok: ok ?? null });
  } catch (error) {
    return JSON.stringify({ error: error instanceof Error ? error.message : String(error) });
  }
}

function serve(socket: Socket): void {
  let rest = "";
  let last = Promise.resolve();
  const gone = new AbortController();
  socket.unref();
  socket.setEncoding("utf8");
  socket.on("error", () => socket.destroy());
  socket.on("close", () => gone.abort());
  socket.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() as string;
    if (rest.length > LONGEST_REQUEST) socket.destroy();
    for (const line of lines) {
      last = last.then(async () => {
        socket.write(`${await answer(line, gone.signal)}\n`);
      });
    }
  });
}

/** A control socket that listens. */
export interface Control {
  readonly path: string;
  close(): unknown;
}

/** This thread's socket, and for how many it is open. */
let shared: { control: Promise<Control>; users: number } | undefined;

/**
 * Opens this thread's control socket, for `coronet dump` and `coronet top`, or shares the one that is
 * open. It keeps no process alive. Throws when the directory is not this user's alone.
 */
export async function openControl(): Promise<Control> {
  shared ??= { control: listen(), users: 0 };
  const entry = shared;
  entry.users++;
  let closed = false;
  const leave = (): boolean => {
    if (closed) return false;
    closed = true;
    if (--entry.users > 0) return false;
    shared = undefined;
    return true;
  };
  try {
    const { path, close } = await entry.control;
    return { path, close: () => leave() && close() };
  } catch (error) {
    leave();
    throw error;
  }
}

async function listen(): Promise<Control> {
  if (process.platform === "win32") {
    throw new Error("coronet: the control socket is a unix socket; Windows has none for it");
  }
  const folder = controlFolder();
  checkFolder(folder);
  const path = join(folder, `${process.pid}.${threadId}.sock`);
  // One of this number is a dead process's.
  rmSync(path, { force: true });
  const server = createServer(serve);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  server.unref();
  const remove = (): void => rmSync(path, { force: true });
  process.on("exit", remove);
  return {
    path,
    close() {
      process.off("exit", remove);
      server.close();
      remove();
    },
  };
}

// ---- asking

/** Nobody answers there; the message is all there is to say. */
export class ControlError extends Error {
  override readonly name = "ControlError";
}

/** The control sockets of a process, by thread, or the one of a path. */
export function controlPaths(target: string): string[] {
  if (!/^\d+$/.test(target)) return [target];
  const folder = controlFolder(ownerOf(target));
  let names: string[] = [];
  try {
    names = readdirSync(folder);
  } catch {
    // Nobody of this user's has ever had one.
  }
  const own = names.filter((name) => name.startsWith(`${target}.`) && name.endsWith(".sock"));
  if (own.length === 0) {
    throw new ControlError(
      `process ${target} has no control socket in ${folder}: start it with CORONET_DEBUG=1, or node --import coronet/debug`,
    );
  }
  const thread = (name: string): number => Number(name.split(".")[1]);
  return own.sort((a, b) => thread(a) - thread(b)).map((name) => join(folder, name));
}

function ownerOf(pid: string): number | undefined {
  try {
    return statSync(`/proc/${pid}`).uid;
  } catch {
    return process.getuid?.();
  }
}

export interface AskOptions {
  /** How long nothing may come, in ms; 5,000 by default. */
  patience?: number;
  /** Whether the question keeps the process alive; true by default. */
  referenced?: boolean;
  /** Aborted when the answer is not wanted any more: whoever is asked then learns that too. */
  signal?: AbortSignal;
}

/** Asks one control socket; resolves to the answer. Rejects with ControlError. */
export function askControl(
  path: string,
  command: string,
  argument?: unknown,
  options: AskOptions = {},
): Promise<unknown> {
  const { patience = PATIENCE_MS, referenced = true, signal } = options;
  const request = argument === undefined ? command : `${command} ${JSON.stringify(argument)}`;
  return new Promise((resolve, reject) => {
    const socket = dial(path);
    if (!referenced) socket.unref();
    const parts: string[] = [];
    const fail = (why: string): void => {
      socket.destroy();
      reject(new ControlError(`${path}: ${why}`));
    };
    socket.setEncoding("utf8");
    socket.setTimeout(patience, () =>
      fail(`no answer within ${patience / 1000} s: its thread is busy, or stopped`),
    );
    socket.on("error", (error: NodeJS.ErrnoException) => {
      fail(error.code === "ECONNREFUSED" ? "the process has ended" : error.message);
    });
    socket.on("end", () => fail("the process closed the connection"));
    socket.on("data", (part: string) => {
      parts.push(part);
      // JSON has no other end of line; and what is long is put together once.
      if (!part.endsWith("\n")) return;
      socket.destroy();
      const { ok, error } = JSON.parse(parts.join("")) as { ok?: unknown; error?: string };
      if (error === undefined) resolve(ok);
      else reject(new ControlError(`${path}: ${error}`));
    });
    socket.on("connect", () => socket.write(`${request}\n`));
    const leave = (): void => fail("nobody wants the answer any more");
    signal?.addEventListener("abort", leave);
    socket.on("close", () => signal?.removeEventListener("abort", leave));
  });
}
