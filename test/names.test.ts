/** names.test.ts: names are looked up from a real DNS server on this machine. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before, describe, type TestContext, test } from "node:test";
import {
  DNSResolver,
  dial,
  listen,
  type NameResolver,
  type NetError,
  systemResolver,
  type TCPAddr,
} from "../src/index.ts";
import { Random } from "../src/internal/random.ts";
import { inOrderOfTrial } from "../src/net/dns_resolver.ts";
import { runtime } from "../src/runtime/runtime.ts";
import { openFds, withLeakCheck } from "../testing/leaks.ts";
import { failure, seeded, staysPending, turn } from "../testing/support.ts";

const DNSMASQ = ["/usr/sbin/dnsmasq", "dnsmasq"].find(
  (command) => spawnSync(command, ["--version"]).status === 0,
);
const skip = DNSMASQ === undefined ? "dnsmasq is not installed" : false;

const LONG_TEXTS = Array.from({ length: 40 }, (_, i) => String(i).padStart(200, "x"));

const RECORDS = [
  "--host-record=both.example.test,127.0.0.1,::1",
  "--host-record=four.example.test,127.0.0.4",
  "--host-record=six.example.test,::6",
  "--cname=alias.example.test,four.example.test",
  "--cname=second.example.test,alias.example.test",
  "--txt-record=text.example.test,first half ,second half",
  "--txt-record=text.example.test,another record",
  ...LONG_TEXTS.map((text) => `--txt-record=long.example.test,${text}`),
  "--mx-host=example.test,late.example.test,20",
  "--mx-host=example.test,early.example.test,10",
  "--srv-host=_chat._tcp.example.test,second.example.test,5223,20,0",
  "--srv-host=_chat._tcp.example.test,first.example.test,5222,10,5",
  "--ptr-record=7.0.0.127.in-addr.arpa,seven.example.test",
  // The name server ns.example.test, as in the packet.
  `--dns-rr=example.test,2,${Buffer.from("\x02ns\x07example\x04test\0", "latin1").toString("hex")}`,
];

/** A UDP socket on a free port of this machine. */
async function bound(): Promise<Socket> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return socket;
}

class NameServer {
  readonly address: string;
  private readonly process: ChildProcess;

  private constructor(address: string, process: ChildProcess) {
    this.address = address;
    this.process = process;
  }

  /** Starts it on a port that was free a moment ago, or on another. */
  static async start(): Promise<NameServer> {
    for (;;) {
      const probe = await bound();
      const { port } = probe.address();
      probe.close();
      const fixed = ["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"];
      const place = [`--port=${port}`, "--listen-address=127.0.0.1", "--bind-interfaces"];
      const rest = ["--local=/test/", "--local=/arpa/", "--pid-file=", "--log-facility=-"];
      const args = [...fixed, ...place, ...rest, "--user=root", ...RECORDS];
      const child = spawn(DNSMASQ as string, args, { stdio: ["ignore", "ignore", "pipe"] });
      for await (const line of createInterface(child.stderr)) {
        if (!line.includes("started")) continue;
        return new NameServer(`127.0.0.1:${port}`, child);
      }
    }
  }

  async stop(): Promise<void> {
    const ended = once(this.process, "exit");
    this.process.kill();
    await ended;
  }
}

/** Passes queries on, but for names with "silent" in them: those are never answered. */
class Forwarder implements AsyncDisposable {
  readonly socket: Socket;
  readonly address: string;
  silent = 0;
  private readonly upstream: Socket;

  private constructor(socket: Socket, upstream: Socket, port: number) {
    this.socket = socket;
    this.upstream = upstream;
    this.address = `127.0.0.1:${socket.address().port}`;
    const askers = new Map<number, RemoteInfo>();
    socket.on("message", (query, from) => {
      if (query.includes("silent")) {
        this.silent++;
        return;
      }
      askers.set(query.readUInt16BE(0), from);
      upstream.send(query, port, "127.0.0.1");
    });
    upstream.on("message", (answer) => {
      const asker = askers.get(answer.readUInt16BE(0)) as RemoteInfo;
      socket.send(answer, asker.port, asker.address);
    });
  }

  static async to(server: string): Promise<Forwarder> {
    return new Forwarder(await bound(), await bound(), Number(server.split(":")[1]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.close();
    this.upstream.close();
  }
}

function checked(check: (t: TestContext) => Promise<void>): (t: TestContext) => Promise<void> {
  return (t) => withLeakCheck(t, () => check(t));
}

let server: NameServer;
let dns: NameResolver;

describe("a DNSResolver", { skip }, () => {
  before(async () => {
    server = await NameServer.start();
    dns = new DNSResolver({ servers: [server.address] });
  });

  after(() => server.stop());

  test(
    "finds the addresses of a host, IPv6 first, or of one family",
    checked(async () => {
      assert.deepEqual(await dns.lookupHost("both.example.test"), ["::1", "127.0.0.1"]);
      assert.deepEqual(await dns.lookupIP("ip", "both.example.test"), ["::1", "127.0.0.1"]);
      assert.deepEqual(await dns.lookupIP("ip4", "both.example.test"), ["127.0.0.1"]);
      assert.deepEqual(await dns.lookupIP("ip6", "both.example.test"), ["::1"]);
      assert.deepEqual(await dns.lookupHost("four.example.test"), ["127.0.0.4"]);
      assert.deepEqual(await dns.lookupHost("six.example.test"), ["::6"]);
      assert.deepEqual(await dns.lookupHost("alias.example.test"), ["127.0.0.4"]);
      assert.deepEqual(await dns.lookupHost("127.0.0.9"), ["127.0.0.9"]);
      assert.deepEqual(await dns.lookupIP("ip6", "::9"), ["::9"]);
      await failure(dns.lookupIP("ip6", "four.example.test"), "ENODATA");
      await assert.rejects(dns.lookupIP("tcp" as never, "four.example.test"), TypeError);
    }),
  );

  test(
    "finds services in the order of their priority",
    checked(async () => {
      const first = { target: "first.example.test", port: 5222, priority: 10, weight: 5 };
      const second = { target: "second.example.test", port: 5223, priority: 20, weight: 0 };
      assert.deepEqual(await dns.lookupSRV("chat", "tcp", "example.test"), [first, second]);
      assert.deepEqual(await dns.lookupSRV("", "", "_chat._tcp.example.test"), [first, second]);
      const error = await failure(dns.lookupSRV("chat", "udp", "example.test"), "ENOTFOUND");
      assert.equal(error.address, "_chat._udp.example.test");
    }),
  );

  test(
    "finds texts, mail hosts, name servers, aliases and the names of addresses",
    checked(async () => {
      const texts = await dns.lookupTXT("text.example.test");
      assert.deepEqual(texts.sort(), ["another record", "first half second half"]);
      assert.deepEqual(await dns.lookupMX("example.test"), [
        { host: "early.example.test", pref: 10 },
        { host: "late.example.test", pref: 20 },
      ]);
      assert.deepEqual(await dns.lookupNS("example.test"), ["ns.example.test"]);
      assert.equal(await dns.lookupCNAME("alias.example.test"), "four.example.test");
      assert.equal(await dns.lookupCNAME("second.example.test"), "four.example.test");
      assert.equal(await dns.lookupCNAME("four.example.test"), "four.example.test");
      assert.deepEqual(await dns.lookupAddr("127.0.0.7"), ["seven.example.test"]);
      await failure(dns.lookupAddr("127.0.0.8"), "ENOTFOUND");
    }),
  );

  test(
    "asks again over TCP when an answer is too long for a datagram",
    checked(async () => {
      const texts = await dns.lookupTXT("long.example.test");
      assert.deepEqual(texts.sort(), [...LONG_TEXTS].sort());
    }),
  );

  test(
    "says which name was not found, and whom it asked",
    checked(async () => {
      const error = await failure(dns.lookupHost("absent.example.test"), "ENOTFOUND");
      assert.equal(
        error.message,
        `lookup host absent.example.test: the name does not exist (asked ${server.address}) (ENOTFOUND); check its spelling`,
      );
      assert.deepEqual(
        [error.op, error.address, error.timeout],
        ["lookup", "absent.example.test", false],
      );
      assert.equal((error.cause as { code: string }).code, "ENOTFOUND");
      assert.match(String(error.stack), /names\.test/);
      await failure(dns.lookupMX("four.example.test"), "ENODATA");
      await failure(dns.lookupCNAME("absent.example.test"), "ENOTFOUND");
      await failure(dns.lookupTXT("elsewhere.invalid"), "EREFUSED");
    }),
  );

  test(
    "of which one query is canceled ends it at once, and answers the others",
    checked(async () => {
      await using forwarder = await Forwarder.to(server.address);
      const resolver = new DNSResolver({ servers: [forwarder.address] });
      const controller = new AbortController();
      const { signal } = controller;
      const fds = openFds().size;
      const canceled = resolver.lookupTXT("silent.example.test", { signal });
      const waiting = resolver.lookupHost("silent.example.test", { signal });
      const other = resolver.lookupTXT("text.example.test", { signal });
      assert.equal((await other).length, 2);
      while (forwarder.silent < 3) await turn();
      assert.ok(await staysPending(Promise.race([canceled, waiting])));
      const late = resolver.lookupHost("four.example.test");
      controller.abort(new Error("no longer needed"));
      const error = await failure(canceled, "ERR_CANCELED");
      assert.equal((error.cause as Error).message, "no longer needed");
      assert.equal(error.address, "silent.example.test");
      await failure(waiting, "ERR_CANCELED");
      assert.deepEqual(await late, ["127.0.0.4"]);
      // Long before the queries would have timed out, their sockets are closed.
      for (let i = 0; i < 10; i++) await turn();
      assert.equal(openFds().size, fds);
      await failure(resolver.lookupNS("example.test", { signal }), "ERR_CANCELED");
    }),
  );

  test(
    "dials: the names of a server of one's own",
    checked(async () => {
      await using listener = await listen("tcp", "127.0.0.1:0");
      const { port } = listener.addr as TCPAddr;
      await using conn = await dial("tcp", `both.example.test:${port}`, { resolver: dns });
      assert.equal(String(conn.remoteAddr), `127.0.0.1:${port}`);
      const absent = dial("tcp", `absent.example.test:${port}`, { resolver: dns });
      const error = await failure(absent, "ENOTFOUND");
      assert.equal(error.op, "dial");
      assert.equal((error.cause as NetError).op, "lookup");
      await (await listener.accept()).close();
    }),
  );
});

describe("a DNSResolver without a server that answers", () => {
  test(
    "times out, and so does the dial that needs it",
    checked(async () => {
      const silent = await bound();
      const servers = [`127.0.0.1:${silent.address().port}`];
      const resolver = new DNSResolver({ servers, timeout: 50, tries: 1 });
      const error = await failure(resolver.lookupHost("silent.example.test"), "ETIMEDOUT");
      assert.equal(error.timeout, true);
      assert.match(error.message, /no server answered in time \(asked 127\.0\.0\.1:\d+\)/);
      const dialling = dial("tcp", "silent.example.test:80", { resolver });
      assert.equal((await failure(dialling, "ETIMEDOUT")).timeout, true);
      const patient = new DNSResolver({ servers });
      const options = { resolver: patient, timeout: 30 };
      await failure(dial("tcp", "silent.example.test:80", options), "ERR_DEADLINE");
      silent.close();
    }),
  );

  test("is refused where nobody listens", async () => {
    const silent = await bound();
    const servers = [`127.0.0.1:${silent.address().port}`];
    silent.close();
    const resolver = new DNSResolver({ servers, timeout: 1000, tries: 1 });
    const error = await failure(resolver.lookupTXT("name.example.test"), "ECONNREFUSED");
    assert.match(error.message, /no name server listens there/);
  });

  test("refuses what is no server, no number and no name", async () => {
    assert.throws(() => new DNSResolver({ servers: ["ns.example.test"] }), TypeError);
    assert.throws(() => new DNSResolver({ servers: [] }), TypeError);
    for (const wrong of [0, -1, 1.5, Number.NaN, "5" as never]) {
      assert.throws(() => new DNSResolver({ timeout: wrong }), RangeError);
      assert.throws(() => new DNSResolver({ tries: wrong }), RangeError);
    }
    const resolver = new DNSResolver({ servers: ["127.0.0.1"] });
    for (const ask of [
      (name: string) => resolver.lookupHost(name),
      (name: string) => resolver.lookupTXT(name),
      (name: string) => resolver.lookupAddr(name),
      (name: string) => systemResolver.lookupHost(name),
    ]) {
      await assert.rejects(ask(5 as never), TypeError);
      await failure(ask(""), "EINVAL");
      await failure(ask("a\0b"), "EINVAL");
    }
    await failure(resolver.lookupAddr("host.example.test"), "EINVAL");
  });
});

describe("the system's resolver", () => {
  test(
    "knows this machine",
    checked(async () => {
      assert.deepEqual(await systemResolver.lookupIP("ip4", "localhost"), ["127.0.0.1"]);
      assert.deepEqual(await systemResolver.lookupHost("127.0.0.5"), ["127.0.0.5"]);
      await assert.rejects(systemResolver.lookupIP("toString" as never, "localhost"), TypeError);
      const { signal } = new AbortController();
      assert.ok((await systemResolver.lookupHost("localhost", { signal })).length > 0);
      const aborted = systemResolver.lookupHost("localhost", { signal: AbortSignal.abort() });
      assert.equal((await failure(aborted, "ERR_CANCELED")).address, "localhost");
    }),
  );
});

test("services of one priority come in random order, by weight", (t) => {
  const before = runtime().random;
  runtime().random = new Random(seeded(t).next());
  const of = (weight: number, priority = 1): { target: string } & Record<string, number> =>
    ({ target: `w${weight}`, port: 1, priority, weight }) as never;
  const firsts = new Map<string, number>();
  for (let i = 0; i < 3000; i++) {
    const records = [of(0, 2), of(10), of(0), of(30)] as never[];
    const order = inOrderOfTrial(records).map(({ target }) => target);
    assert.equal(order.length, 4);
    assert.equal(order[3], "w0", "the later priority comes last");
    firsts.set(order[0] as string, (firsts.get(order[0] as string) ?? 0) + 1);
  }
  const [ten = 0, thirty = 0, none = 0] = ["w10", "w30", "w0"].map((name) => firsts.get(name));
  // One in 41, 10 in 41, 30 in 41.
  assert.ok(none > 20 && none < 160, `${none}`);
  assert.ok(ten > 550 && ten < 950, `${ten}`);
  assert.ok(thirty > 1900, `${thirty}`);
  runtime().random = before;
});
