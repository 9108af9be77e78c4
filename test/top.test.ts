/** top.test.ts: `coronet top`: on a terminal with its keys, as text and as JSON, of a process with two threads. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { ASCII } from "../src/cli/view/chart.ts";
import { topFrame, topText } from "../src/cli/view/top_frame.ts";
import { shareMeters } from "../src/debug/index.ts";
import { type Top, takeTop } from "../src/debug/top.ts";
import { listen, pipe } from "../src/index.ts";
import { lacksIPv6 } from "../testing/conns.ts";
import { Child, type Ended } from "./child.ts";
import { until } from "./served.ts";
import { noScript, Terminal } from "./terminal.ts";

const main = resolve(import.meta.dirname, "../src/cli/main.js");

async function started(
  t: TestContext,
  more: NodeJS.ProcessEnv = {},
): Promise<{ child: Child; pid: string; folder: string; addr: string; stderr(): string }> {
  const folder = mkdtempSync(join(tmpdir(), "coronet-top-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const child = new Child("debugging", [], {
    env: { CORONET_DEBUG: "1", CORONET_DEBUG_DIR: folder, CORONET_DEBUG_LOCKS: "0", ...more },
  });
  t.after(() => child.kill());
  let stderr = "";
  child.process.stderr.on("data", (text) => {
    stderr += text;
  });
  const addr = await child.line();
  await until("both sockets are there", () => readdirSync(folder).length === 2);
  return { child, pid: String(child.process.pid), folder, addr, stderr: () => stderr };
}

function coronet(folder: string, ...args: string[]): Promise<Ended> {
  return coronetWith({ CORONET_DEBUG_DIR: folder }, ...args);
}

function coronetWith(more: NodeJS.ProcessEnv, ...args: string[]): Promise<Ended> {
  return new Promise((done) => {
    const env = { ...process.env, ...more };
    const child = execFile(process.execPath, [main, "top", ...args], { env }, (_, stdout, stderr) =>
      done({ status: child.exitCode, signal: child.signalCode, stdout, stderr }),
    );
  });
}

describe("coronet top", { timeout: 90_000 }, () => {
  test("prints once, as text and as JSON", async (t) => {
    const { pid, folder, addr } = await started(t);
    const [text, json] = await Promise.all([
      coronet(folder, pid, "--once", "--interval", "0.2"),
      coronet(folder, pid, "--once", "--interval", "0.2", "--json", "--filter", `${addr}->`),
    ]);
    assert.deepEqual([text.status, text.stderr], [0, ""]);
    assert.match(text.stdout, new RegExp(`^ coronet top {3}process ${pid}, 2 threads`));
    assert.match(text.stdout, /\n goroutines +24 live +0 runnable/);
    assert.match(text.stdout, /\n waiting for +20 read · 2 mutex lock · 1 accept · 1 chan receive/);
    assert.match(text.stdout, /\n connections +40 open +1 listeners/);
    assert.match(text.stdout, /\n thread 0 .*\n thread \d+ /);
    assert.match(text.stdout, new RegExp(`tcp ${addr}->127\\.0\\.0\\.1:\\d+ +\\d`));
    const tops = JSON.parse(json.stdout) as Top[];
    assert.deepEqual(
      tops.map(({ open, matching, conns }) => [open, matching, conns.length]),
      [
        [41, 20, 20],
        [0, 0, 0],
      ],
    );
    assert.equal(tops[0]?.meters.goroutines.live, 23);
  });

  test("without a terminal goes on until it is told to end", async (t) => {
    const { child, pid, folder } = await started(t);
    const args = [main, "top", pid, "--interval", "0.2"];
    const env = { ...process.env, CORONET_DEBUG_DIR: folder };
    const top = spawn(process.execPath, args, { env });
    t.after(() => top.kill("SIGKILL"));
    let [stdout, stderr] = ["", ""];
    top.stdout.on("data", (text) => {
      stdout += text;
      // The process goes: there is nobody left to ask.
      if (stdout.split("coronet top").length > 3) child.kill();
    });
    top.stderr.on("data", (text) => {
      stderr += text;
    });
    const [status] = await once(top, "close");
    assert.equal(status, 1);
    assert.match(
      stderr,
      /the process has ended|has no control socket|ENOENT|closed the connection/,
    );
  });

  test("says what is wrong with its arguments, and of a process that cannot be asked", async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "coronet-top-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const [sort, interval, nobody] = await Promise.all([
      coronet(folder, "1", "--sort", "name"),
      coronet(folder, "1", "--interval", "0"),
      coronet(folder, String(process.pid), "--once"),
    ]);
    assert.deepEqual([sort.status, interval.status, nobody.status], [2, 2, 1]);
    assert.match(sort.stderr, /--sort takes bytes, received, sent, age, idle, not "name"/);
    assert.match(nobody.stderr, /has no control socket .*CORONET_DEBUG=1/);
  });

  test("on a terminal sorts, filters, pauses and quits", { skip: noScript }, async (t) => {
    const { pid, folder, addr } = await started(t);
    const command = `'${process.execPath}' '${main}' top ${pid} --interval 0.2`;
    const terminal = new Terminal(t, command, { CORONET_DEBUG_DIR: folder });
    await terminal.shows(/coronet top[\s\S]*24[\s\S]*live[\s\S]*sorted by bytes/);
    terminal.press("s");
    await terminal.shows(/sorted by received/);
    terminal.press("/");
    await terminal.shows(/only with: /);
    terminal.press("nobody\x7fy\r");
    await terminal.shows(/with "nobody"[\s\S]* none/);
    terminal.press("/");
    terminal.press(`${addr}->\r`);
    await terminal.shows(new RegExp(`only "${addr}->"[\\s\\S]*tcp ${addr}->`));
    terminal.press("p");
    await terminal.shows(/paused[\s\S]*goes on/);
    terminal.press("q");
    assert.match(await terminal.after(), /status=0/);
  });

  test("gives the terminal back when the process ends", { skip: noScript }, async (t) => {
    const { child, pid, folder } = await started(t);
    const command = `'${process.execPath}' '${main}' top ${pid} --interval 0.2`;
    const terminal = new Terminal(t, command, { CORONET_DEBUG_DIR: folder });
    await terminal.shows(/sorted by bytes/);
    child.kill();
    assert.match(await terminal.after(), /status=1/);
  });
});

describe("coronet top with an inspector's address", { timeout: 90_000 }, () => {
  const token = "a-token-of-the-tests-own";

  /** The address as the inspector prints it, of a process with two threads. */
  async function inspected(
    t: TestContext,
    where = "127.0.0.1:0",
  ): Promise<Awaited<ReturnType<typeof started>> & URLs> {
    const env = { CORONET_INSPECT: where, CORONET_INSPECT_TOKEN: token };
    const program = await started(t, env);
    await until("the inspector runs", () => program.stderr().includes("#token="));
    const url = /http:\S+/.exec(program.stderr())?.[0] as string;
    return { ...program, url, place: new URL(url).host };
  }

  interface URLs {
    url: string;
    place: string;
  }

  const once = ["--once", "--interval", "0.2"] as const;

  test("shows what the control sockets would, and nothing of the inspector's own", async (t) => {
    const { pid, addr, url, place } = await inspected(t);
    // Where sockets are is not asked.
    const env = { CORONET_DEBUG_DIR: "/nonexistent" };
    const [text, json, bare] = await Promise.all([
      coronetWith(env, url, ...once),
      coronetWith(env, url, ...once, "--json", "--filter", `${addr}->`, "--sort", "age"),
      coronetWith({ ...env, CORONET_INSPECT_TOKEN: token }, place, ...once, "--json"),
    ]);
    assert.deepEqual([text.status, text.stderr], [0, ""]);
    assert.match(text.stdout, new RegExp(`^ coronet top {3}process ${pid}, 2 threads`));
    assert.match(text.stdout, /\n goroutines +24 live +0 runnable/);
    assert.match(text.stdout, /\n thread 0 .*\n thread \d+ /);
    const tops = JSON.parse(json.stdout) as Top[];
    assert.deepEqual(
      tops.map(({ open, matching, conns }) => [open, matching, conns.length]),
      [
        [41, 20, 20],
        [0, 0, 0],
      ],
    );
    const ages = tops[0]?.conns.map(({ ageMs }) => ageMs) ?? [];
    assert.deepEqual(
      ages,
      [...ages].sort((a, b) => b - a),
    );
    assert.equal((JSON.parse(bare.stdout) as Top[]).length, 2, bare.stderr);
  });

  test("takes an address of IPv6, with and without http://", {
    skip: lacksIPv6() ?? false,
  }, async (t) => {
    const { url, place } = await inspected(t, "[::1]:0");
    assert.match(place, /^\[::1\]:\d+$/);
    const answers = await Promise.all([
      coronetWith({}, url, ...once, "--json"),
      coronetWith({}, `${place}#token=${token}`, ...once, "--json"),
    ]);
    for (const { status, stdout, stderr } of answers) {
      assert.deepEqual([status, stderr], [0, ""]);
      assert.equal((JSON.parse(stdout) as Top[]).length, 2);
    }
  });

  test("says what is wrong: no token, a wrong one, nobody there, no inspector", async (t) => {
    const { addr, place } = await inspected(t);
    const gone = await listen("tcp", "127.0.0.1:0");
    const nobody = String(gone.addr);
    await gone.close();
    const other = createServer((_, response) => response.end("hello"));
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    t.after(() => other.close());
    const { port } = other.address() as { port: number };
    const say = async (target: string): Promise<string> => {
      const { status, stderr } = await coronetWith({}, target, "--once");
      assert.equal(status, 1, target);
      return stderr;
    };
    const [without, wrong, ended, strange, form, path] = await Promise.all([
      say(addr),
      say(`http://${place}/#token=not-the-token-at-all`),
      say(`${nobody}#token=${token}`),
      say(`:${port}/#token=${token}`),
      say("http://[::1"),
      say("/nonexistent/1.0.sock"),
    ]);
    assert.match(without, /wants its token.*CORONET_INSPECT_TOKEN/);
    assert.match(wrong, /refuses that token/);
    assert.match(ended, /nobody can be asked at 127\.0\.0\.1:\d+: ECONNREFUSED/);
    assert.match(strange, /no inspector answers there \(200\)/);
    assert.match(form, /an inspector's address is http:/);
    assert.match(path, /\/nonexistent\/1\.0\.sock: .*ENOENT/);
  });
});

describe("its frame", () => {
  test("names the worker processes that an inspector knows", (t) => {
    t.after(shareMeters());
    const now = takeTop();
    const threads = [1, 1, 7].map((pid, thread) => ({
      now: { ...now, meters: { ...now.meters, pid, thread } },
      before: undefined,
    }));
    const state = { order: "sent", filter: "", typing: false, paused: false, keys: true } as const;
    const text = topText({ pid: 1, threads, silent: 0, ...state }).join("\n");
    assert.match(text, /process 1 and 1 worker, 3 threads/);
    assert.match(text, /\n thread 0 .*\n thread 1 .*\n 7\.2 /);
  });

  test("fits every size, and its order is the one asked for", async (t) => {
    t.after(shareMeters());
    await using listener = await listen("tcp", "127.0.0.1:0");
    const pipes = [pipe(), pipe(), pipe()];
    for (const [i, [a, b]] of pipes.entries()) {
      await a.write(new Uint8Array(100 * (i + 1)));
      await b.read(new Uint8Array(1000));
    }
    const now = takeTop({ rows: 2, order: "sent" });
    assert.deepEqual(
      now.conns.map(({ bytesOut }) => bytesOut),
      [300, 200],
    );
    assert.deepEqual([now.open, now.matching], [7, 7]);
    const only = takeTop({ filter: String(listener.addr) });
    assert.deepEqual([only.matching, only.conns[0]?.name], [1, `tcp ${listener.addr}`]);
    const state = { order: "sent", filter: "", typing: false, paused: false, keys: true } as const;
    const threads = [
      { now, before: undefined },
      { now: { ...now, meters: { ...now.meters, thread: 1 } }, before: now },
    ];
    const model = { pid: 1, threads, silent: 1, ...state };
    for (const width of [10, 40, 80, 200]) {
      for (const height of [1, 5, 15, 24, 50]) {
        const lines = topFrame(model, { width, height }, ASCII, false);
        assert.equal(lines.length, height);
        assert.ok(lines.every((line) => line.length <= width));
      }
    }
    const text = topText(model).join("\n");
    assert.match(text, /3 threads, 1 too busy to answer/);
    assert.match(text, /pipe +\d|pipe pipe->pipe/);
    for (const [a, b] of pipes) await Promise.all([a.close(), b.close()]);
  });
});
