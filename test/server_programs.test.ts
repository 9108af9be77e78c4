/** server_programs.test.ts: servers as programs: signals, killed workers, pid file, systemd. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect as nodeConnect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { listen, type ServerModel, type TCPAddr } from "../src/index.ts";
import { lacks, programPath, run } from "./child.ts";
import { answered, ask, connect, Load, until, whoServes } from "./served.ts";
import { isAlive, Program } from "./server_program.ts";

const folder = mkdtempSync(join(tmpdir(), "coronet-server-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

test("a worker that is killed again and again is replaced; others' connections go on", async () => {
  await using program = await Program.start({ model: "process", workers: 2 });
  const { addr } = program;
  await using steady = await connect(addr);
  const owner = answered(await ask(steady, "id"));
  const load = new Load(addr, 2);
  let killed = 0;
  for (; killed < 6; killed++) {
    let victim = 0;
    await until("another worker serves", async () => {
      const { workers } = await program.stats();
      const other = workers.find(({ pid, state }) => pid !== owner.pid && state === "serving");
      victim = other?.pid ?? 0;
      return victim !== 0;
    });
    process.kill(victim, "SIGKILL");
    await until("it is known", async () => (await program.stats()).died === killed + 1);
    assert.equal(answered(await ask(steady, "id")).pid, owner.pid);
  }
  await load.more(20);
  await load.stop();
  // Only those whose very worker was killed failed: at most the clients of the load, each time.
  assert.ok(load.failures.length <= killed * 2, `${load.failures.length} failures`);
  const { died, workers } = await program.stats();
  assert.equal(died, killed);
  // No busy loop: every worker that was started either died or is there.
  assert.ok(Math.max(...workers.map(({ id }) => id)) <= killed + 1);
});

for (const model of ["process", "thread"] satisfies ServerModel[]) {
  test(`SIGHUP reloads, SIGTERM ends what is begun (${model})`, async () => {
    await using program = await Program.start({ model });
    const before = await whoServes(program.addr);
    program.signal("SIGHUP");
    await until("another worker serves", async () => {
      return (await whoServes(program.addr)).id !== before.id;
    });
    await using conn = await connect(program.addr);
    const slept = ask(conn, "sleep 200");
    await until("it is served", async () => (await program.stats()).live === 1);
    program.signal("SIGTERM");
    assert.equal(await slept, "slept");
    await conn.close();
    assert.match(await program.line(), /^closed/);
    const { status, signal } = await program.child.ended;
    assert.deepEqual([status, signal], [0, null]);
  });
}

for (const model of ["process", "thread", "base"] satisfies ServerModel[]) {
  test(`a second SIGINT ends at once (${model})`, async () => {
    await using program = await Program.start({ model, drainTimeout: 1_000_000 });
    await using conn = await connect(program.addr);
    await ask(conn, "id");
    program.signal("SIGINT");
    await until("it stops listening", () =>
      connect(program.addr).then(
        (extra) => extra.close().then(() => false),
        () => true,
      ),
    );
    program.signal("SIGINT");
    const { status } = await program.child.ended;
    assert.equal(status, 0);
  });
}

test("workers end by themselves when their supervisor is killed", async () => {
  await using program = await Program.start({ model: "process", workers: 2 });
  const pids = (await program.stats()).workers.map(({ pid }) => pid);
  await using conn = await connect(program.addr);
  const slept = ask(conn, "sleep 300");
  await until("it is served", async () => (await program.stats()).live === 1);
  program.signal("SIGKILL");
  assert.equal(await slept, "slept");
  await conn.close();
  await until("they are gone", () => pids.every((pid) => !isAlive(pid)));
});

describe("a pid file", () => {
  const pidFile = join(folder, "server.pid");

  test("names the process, refuses a second one, and goes with it", async () => {
    await using program = await Program.start({ pidFile });
    assert.equal(Number(readFileSync(pidFile, "utf8")), program.pid);
    const listens = [["tcp", "127.0.0.1:0"]];
    const second = await run("serve", [JSON.stringify({ listen: listens, pidFile })]);
    assert.notEqual(second.status, 0);
    assert.match(second.stderr, new RegExp(`names process ${program.pid}, which runs`));
    assert.equal(Number(readFileSync(pidFile, "utf8")), program.pid);
    program.signal("SIGTERM");
    await program.child.ended;
    assert.ok(!existsSync(pidFile));
  });

  test("that is stale is replaced, and one that became another's is left alone", async () => {
    const ended = await run("tasks");
    assert.equal(ended.status, 0);
    // The number of a process that has ended: the one of a killed server.
    const killed = await Program.start({ pidFile });
    killed.signal("SIGKILL");
    await killed.child.ended;
    assert.equal(Number(readFileSync(pidFile, "utf8")), killed.pid);
    await using program = await Program.start({ pidFile });
    assert.equal(Number(readFileSync(pidFile, "utf8")), program.pid);
    writeFileSync(pidFile, "1\n");
    program.signal("SIGTERM");
    await program.child.ended;
    assert.equal(readFileSync(pidFile, "utf8"), "1\n");
  });
});

describe("socket activation", { skip: lacks("bash", "-c", "true") }, () => {
  /** Starts the program as systemd does: the socket is its fd 3. */
  test("serves on the sockets that it was given", async () => {
    await using listener = await listen("tcp", "127.0.0.1:0");
    const { port } = listener.addr as TCPAddr;
    const options = {
      model: "process",
      listen: [
        ["tcp", "127.0.0.1:0"],
        ["tcp", "127.0.0.1:1", { name: "web" }],
      ],
    };
    const script = `export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web; exec "$0" "$@"`;
    const child = spawn(
      "bash",
      ["-c", script, process.execPath, programPath("serve"), JSON.stringify(options)],
      { stdio: ["ignore", "pipe", "inherit", listener.fd.sysfd] },
    );
    try {
      const text = await new Promise<string>((resolve) => {
        child.stdout?.setEncoding("utf8").once("data", resolve);
      });
      assert.match(text, new RegExp(`^ready ${child.pid} 127.0.0.1:\\d+ 127.0.0.1:${port}\n`));
      const { pid } = await whoServes(listener.addr);
      assert.notEqual(pid, child.pid);
    } finally {
      child.kill("SIGTERM");
      await new Promise((resolve) => child.once("exit", resolve));
    }
  });
});

test("tells its service manager when it is ready, reloads, lives and stops", {
  skip: lacks("socat", "-V"),
}, async () => {
  const path = join(folder, "notify.sock");
  const socat = spawn("socat", ["-u", `UNIX-RECV:${path}`, "-"], { stdio: ["ignore", "pipe", 2] });
  let told = "";
  socat.stdout?.setEncoding("utf8").on("data", (text: string) => {
    told += text;
  });
  try {
    await until("it listens", () => existsSync(path));
    const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: "100000" };
    await using program = await Program.start({}, env);
    await until("it is ready", () => told.includes("READY=1"));
    await until("it lives", () => told.includes("WATCHDOG=1"));
    assert.equal(await program.command("reload"), "reload done");
    await until("it reloaded", () =>
      /RELOADING=1\nMONOTONIC_USEC=\d+READY=1/.test(told.replaceAll("WATCHDOG=1", "")),
    );
    program.signal("SIGUSR2");
    await program.restarted();
    await until("the new one is known", () => told.includes(`MAINPID=${program.pid}\nREADY=1`));
    assert.ok(!told.includes("STOPPING=1"));
    program.signal("SIGTERM");
    await until("it stops", () => told.includes("STOPPING=1"));
    assert.match(await program.line(), /^closed/);
  } finally {
    socat.kill();
  }
});

test("becomes another user once it listens", {
  skip: process.getuid?.() === 0 ? false : "needs root",
}, async () => {
  await using program = await Program.start({ model: "process", user: "nobody" });
  const { pid } = await whoServes(program.addr);
  for (const each of [program.pid, pid]) {
    const status = readFileSync(`/proc/${each}/status`, "utf8");
    const ids = /^Uid:\s+(\d+)\s+(\d+)\s+(\d+)/m.exec(status)?.slice(1, 4);
    assert.ok(
      ids?.every((id) => id !== "0"),
      String(ids),
    );
    assert.doesNotMatch(/^Groups:(.*)$/m.exec(status)?.[1] ?? "", /\b0\b/);
  }
});

test("says what is needed to become another user", {
  skip: process.getuid?.() === 0 ? false : "needs root",
}, async () => {
  const options = JSON.stringify({ listen: [["tcp", "127.0.0.1:0"]], user: "root" });
  const { stderr, status } = spawnSync(process.execPath, [programPath("serve"), options], {
    uid: 65_534,
    encoding: "utf8",
  });
  if (/EACCES|ERR_MODULE|MODULE_NOT_FOUND/.test(stderr)) return;
  assert.notEqual(status, 0);
  assert.match(stderr, /has to be started as root; it runs as uid 65534/);
});

// A plain client of Node's own sees the same: the sockets are ordinary ones.
test("node:net talks to it", async () => {
  await using program = await Program.start();
  const { port } = program.addr as TCPAddr;
  const socket = nodeConnect(port, "127.0.0.1");
  socket.write("word\n");
  const text = await new Promise<Buffer>((resolve) => socket.once("data", resolve));
  assert.equal(String(text), "word\n");
  socket.destroy();
});
