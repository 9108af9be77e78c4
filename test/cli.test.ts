// The `coronet` command as its users run it: child processes, their output, their exit status.

import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { type Conn, dial, listen, NetError, TCPAddr } from "../src/index.ts";
import { lacksAbstractNames } from "../testing/backend.ts";

const main = resolve(import.meta.dirname, "../src/cli/main.js");

interface Ended {
  status: number | string;
  stdout: string;
  stderr: string;
}

/** A running program whose output can be waited for. It is killed when the test ends. */
class Program {
  readonly child: ChildProcessWithoutNullStreams;
  readonly ended: Promise<Ended>;
  private stdout = "";
  private stderr = "";
  private waiting: (() => void) | undefined;

  constructor(t: TestContext, command: string, args: readonly string[]) {
    this.child = spawn(command, args);
    this.child.stdin.on("error", () => {});
    this.child.stdout.setEncoding("latin1").on("data", (text) => {
      this.stdout += text;
      this.waiting?.();
    });
    this.child.stderr.setEncoding("utf8").on("data", (text) => {
      this.stderr += text;
    });
    this.ended = new Promise((settle, fail) => {
      this.child.on("error", fail);
      this.child.on("close", (code, signal) => {
        settle({ status: code ?? signal ?? "?", stdout: this.stdout, stderr: this.stderr });
        this.waiting?.();
      });
    });
    t.after(() => this.child.kill("SIGKILL"));
  }

  /** What a group of the pattern matches in the output, once it does. */
  async said(pattern: RegExp): Promise<string> {
    for (;;) {
      const match = pattern.exec(this.stdout);
      if (match !== null) return match[1] ?? match[0];
      const { exitCode, signalCode } = this.child;
      if (exitCode !== null || signalCode !== null) {
        const { stdout, stderr } = await this.ended;
        assert.match(stdout, pattern, `it has ended and said\n${stdout}${stderr}`);
      }
      await new Promise<void>((wake) => {
        this.waiting = wake;
      });
    }
  }
}

function coronet(t: TestContext, ...args: string[]): Program {
  return new Program(t, process.execPath, [main, ...args]);
}

/** Runs the command to its end with an empty input. */
function run(t: TestContext, ...args: string[]): Promise<Ended> {
  const program = coronet(t, ...args);
  program.child.stdin.end();
  return program.ended;
}

async function startEcho(t: TestContext, ...args: string[]) {
  const program = coronet(t, "echo", "--listen", "127.0.0.1:0", ...args);
  return { program, address: await program.said(/^listening on (\S+)\n/) };
}

async function startDemo(t: TestContext, ...args: string[]) {
  const places = ["--listen", "127.0.0.1:0", "--stats", "127.0.0.1:0"];
  const program = coronet(t, "demo", ...places, ...args);
  const address = await program.said(/echo on ([^\s,]+),/);
  return { program, address, stats: await program.said(/stats on ([^\s,]+),/) };
}

function assertOneLine(text: string, pattern: RegExp): void {
  assert.match(text, /^[^\n]+\n$/, "it is one line");
  assert.match(text, pattern);
}

/** Reads until the text that has arrived ends as wanted, or the stream does. */
async function readUntil(conn: Conn, wanted: string): Promise<string> {
  let text = "";
  for await (const chunk of conn) {
    text += Buffer.from(chunk).toString();
    if (text.endsWith(wanted)) return text;
  }
  return `${text}<EOF>`;
}

/** Waits until the server takes no more connections. */
async function refused(address: string): Promise<void> {
  for (;;) {
    try {
      await using conn = await dial("tcp", address);
      await conn.write("");
    } catch (error) {
      if (error instanceof NetError && error.code === "ECONNREFUSED") return;
      if (!(error instanceof NetError)) throw error;
    }
  }
}

function hasNetcat(): boolean {
  const { stdout, stderr } = spawnSync("nc", ["-h"], { encoding: "utf8" });
  return /OpenBSD/.test(`${stdout}${stderr}`) && /-[A-Za-z]*N/.test(`${stdout}${stderr}`);
}

const netcat = hasNetcat() ? false : "nc (OpenBSD's, with -N) is not installed";

describe("coronet", { concurrency: 2, timeout: 100_000 }, () => {
  describe("the command line", () => {
    test("--help lists the commands and --version tells the version", async (t) => {
      const help = await run(t, "--help");
      assert.equal(help.status, 0);
      for (const name of ["demo", "echo", "dial"])
        assert.match(help.stdout, new RegExp(`  ${name} `));
      const version = await run(t, "--version");
      assert.equal(version.status, 0);
      assertOneLine(version.stdout, /^coronet \d+\.\d+\.\d+ \(node v\d+/);
    });

    test("every command explains itself with examples", async (t) => {
      for (const name of ["demo", "echo", "dial"]) {
        const { status, stdout, stderr } = await run(t, name, "--help");
        assert.equal(status, 0);
        assert.match(stdout, new RegExp(`^Usage: coronet ${name}`, "m"));
        assert.match(stdout, /^Examples:$/m);
        assert.equal(stderr, "");
        assert.equal((await run(t, "help", name)).stdout, stdout);
      }
    });

    test("without a command it shows the help and status 2", async (t) => {
      const { status, stdout, stderr } = await run(t);
      assert.equal(status, 2);
      assert.equal(stdout, "");
      assert.match(stderr, /^Usage: coronet <command>/m);
    });

    const misunderstood: [args: string[], answer: RegExp][] = [
      [["dmeo"], /^coronet: unknown command dmeo; known: demo, echo, dial/],
      [["--colour"], /^coronet: unknown option --colour; known: /],
      [["demo", "--port", "1"], /^coronet demo: unknown option --port; known: --listen/],
      [["demo", "--drain", "soon"], /--drain takes seconds from 0 to 86400, not "soon"/],
      [["echo"], /^coronet echo: --listen is missing/],
      [["echo", "--listen", "2333"], /malformed address "2333": no port: write host:port/],
      [["echo", "--listen", "::1:2333"], /put an IPv6 address in brackets/],
      [["echo", "--listen", ":99999"], /the port must be a number from 0 to 65535/],
      [["echo", "--listen", `/${"x".repeat(200)}`], /a unix socket's has 107 at most/],
      [["echo", "--listen", ":0", "--network", "udp"], /unknown network "udp"; known: tcp, /],
      [["dial"], /^coronet dial: ADDRESS is missing/],
      [["dial", "localhost"], /no port/],
      [["dial", ":1", "--timeout", "0"], /--timeout takes milliseconds/],
    ];
    for (const [args, answer] of misunderstood) {
      const shown = args.map((arg) => arg.slice(0, 12)).join(" ");
      test(`"coronet ${shown}" is answered by one line and status 2`, async (t) => {
        const { status, stdout, stderr } = await run(t, ...args);
        assert.equal(status, 2);
        assert.equal(stdout, "");
        assertOneLine(stderr, answer);
      });
    }
  });

  describe("echo", () => {
    test("sends back what netcat sends", { skip: netcat }, async (t) => {
      const { program, address } = await startEcho(t);
      const [host, port] = address.split(":") as [string, string];
      const nc = new Program(t, "nc", ["-N", host, port]);
      nc.child.stdin.end("hello from netcat\n");
      const { status, stdout } = await nc.ended;
      assert.equal(stdout, "hello from netcat\n");
      assert.equal(status, 0);
      program.child.kill("SIGTERM");
      assert.equal((await program.ended).status, 0);
    });

    test("listens on a unix path and an abstract name by their form", async (t) => {
      const folder = mkdtempSync(join(tmpdir(), "coronet-cli-"));
      t.after(() => rmSync(folder, { recursive: true, force: true }));
      const places = [join(folder, "echo.sock")];
      if (lacksAbstractNames() === undefined) places.push(`@coronet-cli-${process.pid}`);
      for (const place of places) {
        const server = coronet(t, "echo", "--listen", place);
        assert.equal(await server.said(/^listening on (.+)\n/), place);
        const client = coronet(t, "dial", place);
        client.child.stdin.end("over a unix socket");
        assert.deepEqual(await client.ended, {
          status: 0,
          stdout: "over a unix socket",
          stderr: "",
        });
        server.child.kill("SIGTERM");
        assert.equal((await server.ended).status, 0);
      }
    });

    test("a port in use is one line and status 1", async (t) => {
      await using taken = await listen("tcp", "127.0.0.1:0");
      const { status, stderr } = await run(t, "echo", "--listen", String(taken.addr));
      assert.equal(status, 1);
      assertOneLine(stderr, /^coronet: listen tcp .*: address already in use \(EADDRINUSE\)/);
    });

    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      test(`${signal} lets a conversation finish, then ends with status 0`, async (t) => {
        const { program, address } = await startEcho(t, "--drain", "80");
        await using conn = await dial("tcp", address);
        await conn.write("one");
        assert.equal(await readUntil(conn, "one"), "one");
        program.child.kill(signal);
        await refused(address);
        await conn.write("two");
        assert.equal(await readUntil(conn, "two"), "two");
        assert.equal(program.child.exitCode, null, "it waits for the conversation");
        await conn.closeWrite();
        assert.equal(await readUntil(conn, "?"), "<EOF>");
        const { status, stderr } = await program.ended;
        assert.equal(status, 0);
        assert.equal(stderr, "");
      });
    }

    test("a connection that is idle is closed when the drain time is over", async (t) => {
      const { program, address } = await startEcho(t, "--drain", "0.3");
      await using conn = await dial("tcp", address);
      await conn.write("here");
      await readUntil(conn, "here");
      program.child.kill("SIGTERM");
      assert.equal(await readUntil(conn, "?"), "<EOF>");
      assert.equal((await program.ended).status, 0);
    });

    test("a second signal closes what is still open at once", async (t) => {
      const { program, address } = await startEcho(t, "--drain", "80");
      await using conn = await dial("tcp", address);
      await conn.write("here");
      await readUntil(conn, "here");
      program.child.kill("SIGTERM");
      await refused(address);
      const before = performance.now();
      program.child.kill("SIGINT");
      assert.equal(await readUntil(conn, "?"), "<EOF>");
      assert.equal((await program.ended).status, 0);
      assert.ok(performance.now() - before < 40_000, "it did not wait for the drain time");
    });

    test("a client that resets its connection ends nothing else", async (t) => {
      const { program, address } = await startEcho(t);
      await using other = await dial("tcp", address);
      const rude = await dial("tcp", address);
      await rude.write("x");
      await readUntil(rude, "x");
      (rude as unknown as { setLinger(seconds: number): void }).setLinger(0);
      await rude.close();
      await other.write("still there?");
      assert.equal(await readUntil(other, "?"), "still there?");
      await other.close();
      program.child.kill("SIGTERM");
      const { status, stderr } = await program.ended;
      assert.equal(status, 0);
      assert.equal(stderr, "");
    });

    test("goes on when nobody reads its output any more", async (t) => {
      const { program, address } = await startEcho(t);
      program.child.stdout.destroy();
      const client = coronet(t, "dial", address);
      client.child.stdin.end("hello?");
      assert.equal((await client.ended).stdout, "hello?");
      program.child.kill("SIGTERM");
      assert.equal((await program.ended).status, 0);
    });
  });

  describe("dial", () => {
    test("passes 10 MB both ways without losing a byte", async (t) => {
      const { address } = await startEcho(t);
      const client = spawn(process.execPath, [main, "dial", address]);
      t.after(() => client.kill("SIGKILL"));
      const data = randomBytes(10_000_000);
      client.stdin.end(data);
      const received = createHash("sha256");
      let length = 0;
      for await (const chunk of client.stdout as AsyncIterable<Uint8Array>) {
        received.update(chunk);
        length += chunk.length;
      }
      assert.equal(length, data.length);
      assert.equal(received.digest("hex"), createHash("sha256").update(data).digest("hex"));
    });

    test("takes no more from its input than a slow reader of its output takes", async (t) => {
      const { address } = await startEcho(t);
      const client = spawn(process.execPath, [main, "dial", address]);
      t.after(() => client.kill("SIGKILL"));
      const data = Buffer.alloc(64_000_000, "coronet");
      let accepted = false;
      client.stdin.end(data, () => {
        accepted = true;
      });
      let length = 0;
      for await (const chunk of client.stdout as AsyncIterable<Uint8Array>) {
        // Whatever stands in the kernel's buffers in between, it is not half of the whole.
        if (length < data.length / 2) assert.ok(!accepted, `all was taken after ${length} bytes`);
        length += chunk.length;
      }
      assert.equal(length, data.length);
    });

    test("the end of its input is the end of its half only", async (t) => {
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        let asked = "";
        socket.on("data", (text) => {
          asked += text;
        });
        socket.on("end", () => socket.end(`you said ${asked}`));
      });
      t.after(() => server.close());
      await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
      const { port } = server.address() as { port: number };
      const client = coronet(t, "dial", `127.0.0.1:${port}`);
      client.child.stdin.end("hello");
      assert.deepEqual(await client.ended, { status: 0, stdout: "you said hello", stderr: "" });
    });

    test("ends when the peer ends, though its input is still open", async (t) => {
      await using listener = await listen("tcp", "127.0.0.1:0");
      const client = coronet(t, "dial", String(listener.addr), "--timeout", "60000");
      const conn = await listener.accept();
      await conn.write("bye");
      await conn.close();
      assert.deepEqual(await client.ended, { status: 0, stdout: "bye", stderr: "" });
    });

    test("a refused connection is one line and status 1", async (t) => {
      const listener = await listen("tcp", "127.0.0.1:0");
      const address = String(listener.addr);
      await listener.close();
      const { status, stdout, stderr } = await run(t, "dial", address);
      assert.equal(status, 1);
      assert.equal(stdout, "");
      assertOneLine(stderr, /^coronet: dial tcp .*: connection refused \(ECONNREFUSED\)/);
    });

    test("a reset by the peer is one line and status 1", async (t) => {
      const server = createServer((socket) => socket.on("data", () => socket.resetAndDestroy()));
      t.after(() => server.close());
      await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
      const { port } = server.address() as { port: number };
      const client = coronet(t, "dial", `127.0.0.1:${port}`);
      client.child.stdin.write("hello");
      const { status, stderr } = await client.ended;
      assert.equal(status, 1);
      assertOneLine(stderr, /^coronet: (read|write) tcp .*connection reset by peer \(ECONNRESET\)/);
    });

    test("SIGINT closes the connection and ends it as the signal does", async (t) => {
      await using listener = await listen("tcp", "127.0.0.1:0");
      const client = coronet(t, "dial", String(listener.addr));
      await using conn = await listener.accept();
      await conn.write("ready");
      await client.said(/ready/);
      client.child.kill("SIGINT");
      assert.equal(await readUntil(conn, "?"), "<EOF>");
      const { status, stderr } = await client.ended;
      assert.equal(status, 130);
      assert.equal(stderr, "");
    });

    test("is quiet when nobody reads its output any more", async (t) => {
      await using listener = await listen("tcp", "127.0.0.1:0");
      const client = coronet(t, "dial", String(listener.addr));
      const conn = await listener.accept();
      client.child.stdout.destroy();
      const flood = Buffer.alloc(65_536);
      await assert.rejects(async () => {
        for (;;) await conn.write(flood);
      }, NetError);
      const { status, stderr } = await client.ended;
      assert.equal(status, 0);
      assert.equal(stderr, "");
    });
  });

  describe("demo without a terminal", () => {
    test("says how to try it, and what it did when it stops", async (t) => {
      const { program, address, stats } = await startDemo(t);
      const client = coronet(t, "dial", address);
      client.child.stdin.end("hi");
      assert.equal((await client.ended).stdout, "hi");
      program.child.kill("SIGTERM");
      const { status, stdout, stderr } = await program.ended;
      assert.equal(status, 0);
      assert.equal(stderr, "");
      const [echoPort, statsPort] = [address, stats].map((each) => each.split(":")[1]);
      assert.match(stdout, new RegExp(`try it: printf hi \\| nc -N 127.0.0.1 ${echoPort}\n`));
      assert.match(stdout, new RegExp(`try it: echo stats \\| nc -N 127.0.0.1 ${statsPort}\n`));
      assert.match(stdout, /stopped after .*: 1 connection, 2 B received, 2 B sent\n$/);
      assert.ok(!stdout.includes("\x1b"), "no escape sequences where there is no terminal");
    });

    test("a port in use is one line with a way out, and status 1", async (t) => {
      await using taken = await listen("tcp", "127.0.0.1:0");
      const address = String(taken.addr);
      const places = ["--listen", address, "--stats", "127.0.0.1:0"];
      const { status, stdout, stderr } = await run(t, "demo", ...places);
      assert.equal(status, 1);
      assert.equal(stdout, "");
      assertOneLine(
        stderr,
        /already in use \(EADDRINUSE\); for a free port: --listen 127.0.0.1:0$/m,
      );
      const other = await run(t, "demo", "--listen", "127.0.0.1:0", "--stats", address);
      assert.equal(other.status, 1);
      assertOneLine(other.stderr, /for a free port: --stats 127.0.0.1:0$/m);
    });

    test("the stats service answers in lines", async (t) => {
      const { address, stats } = await startDemo(t);
      await using guest = await dial("tcp", address);
      assert.ok(guest.localAddr instanceof TCPAddr);
      await guest.write("12345");
      await readUntil(guest, "12345");
      await using conn = await dial("tcp", stats);
      const ask = async (question: string, end: string): Promise<string> => {
        await conn.write(question);
        return readUntil(conn, end);
      };
      const time = await ask("time\r\n", "\n");
      assert.ok(Math.abs(Date.parse(time.trim()) - Date.now()) < 60_000, time);
      const numbers = await ask("stats\n", "\n\n");
      assert.match(numbers, /^connections_live 1$/m);
      assert.match(numbers, /^bytes_received 5$/m);
      assert.match(numbers, /^bytes_sent 5$/m);
      assert.match(numbers, /^goroutines_live \d+$/m);
      const list = await ask("conns\n", "\n\n");
      assert.ok(list.startsWith(`${guest.localAddr}  `), list);
      assert.match(await ask("help\n", "\n\n"), /^stats +numbers/m);
      assert.match(await ask("tiem\n", "\n"), /^unknown command "tiem": try time, stats/);
      assert.match(await ask(`${"x".repeat(5000)}\n`, "\n"), /^a line has at most \d+ characters/);
      assert.equal(await ask("quit\n", "?"), "bye\n<EOF>");
    });

    test("the stats service does not hold up the end", async (t) => {
      const { program, stats } = await startDemo(t, "--drain", "80");
      await using conn = await dial("tcp", stats);
      await conn.write("time\n");
      await readUntil(conn, "\n");
      program.child.kill("SIGTERM");
      assert.equal(await readUntil(conn, "?"), "<EOF>");
      assert.equal((await program.ended).status, 0);
    });

    test("says that connections may finish while it closes", async (t) => {
      const { program, address } = await startDemo(t, "--drain", "80");
      await using conn = await dial("tcp", address);
      await conn.write("hi");
      await readUntil(conn, "hi");
      program.child.kill("SIGTERM");
      await program.said(/closing: 1 connection may finish within 1 min 20 s\n/);
      await conn.close();
      assert.equal((await program.ended).status, 0);
    });
  });
});
