/**
 * https_workers.test.ts: HTTPS in workers: sessions that go from one to another, certificates that are
 * renewed under load, and supervisors that meter, drain and cut connections over TLS.
 */
import assert from "node:assert/strict";
import { randomBytes, X509Certificate } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import {
  type Addr,
  createSecureContext,
  dial,
  dialTls,
  listen,
  type ServerModel,
  secure,
  startThreads,
} from "../src/index.ts";
import { onNodeTls } from "../testing/backend.ts";
import { type Certificate, makeCertificate } from "../testing/certificates.ts";
import { RawClient } from "../testing/http_client.ts";
import { programPath } from "./child.ts";
import { HTTPLoad } from "./http_load.ts";
import { numbers, pause, start, until } from "./served.ts";

const module = programPath("https_served");
const authority = makeCertificate({ commonName: "Authority", isCA: true });
const [leaf, renewed] = [1, 2].map(() =>
  makeCertificate({ names: ["127.0.0.1"], issuer: authority }),
) as [Certificate, Certificate];
const secureContext = createSecureContext({ ca: authority.cert });

const GET = "GET /id HTTP/1.1\r\nHost: a\r\n\r\n";

function pem({ cert, key }: Certificate): { cert: string; key: string } {
  return { cert, key };
}

async function securely(addr: Addr): Promise<RawClient> {
  return new RawClient(await dialTls("tcp", String(addr), { secureContext }));
}

async function serialAt(addr: Addr): Promise<string | undefined> {
  await using conn = await dialTls("tcp", String(addr), { secureContext });
  return conn.peerCertificate?.serialNumber;
}

function serialOf({ cert }: Certificate): string {
  return new X509Certificate(cert).serialNumber;
}

/** What /id says, on a connection that resumes a session if one is given. */
async function ask(addr: Addr, session?: Uint8Array): Promise<[string[], Uint8Array | undefined]> {
  const given = session === undefined ? {} : { session };
  const conn = await dialTls("tcp", String(addr), { secureContext, ...given });
  await using client = new RawClient(conn);
  await client.send(GET);
  const { body } = (await client.response()) as { body: string };
  return [body.split(" "), conn.session];
}

/** Asks until another worker answers than the one that the session is of; that one has resumed it. */
async function resumeElsewhere(addr: Addr): Promise<void> {
  const [[first], session] = await ask(addr);
  assert.ok(session !== undefined);
  for (let i = 0; i < 200; i++) {
    const [[id, , reused]] = await ask(addr, session);
    assert.equal(reused, "true", `worker ${id}, session of worker ${first}`);
    if (id !== first) return;
  }
  assert.fail("one worker has answered all the time");
}

for (const model of ["thread", "process"] satisfies ServerModel[]) {
  describe(`HTTPS in workers of model "${model}"`, () => {
    test("is reloaded with another certificate under load, and no request fails", async () => {
      const folder = await mkdtemp(join(tmpdir(), "coronet-https-"));
      const files = [join(folder, "cert.pem"), join(folder, "key.pem")] as const;
      const put = async ({ cert, key }: Certificate): Promise<void> => {
        await Promise.all([writeFile(files[0], cert), writeFile(files[1], key)]);
      };
      await put(leaf);
      {
        const data = { tls: {}, files };
        await using started = await start({
          module,
          model,
          workers: 2,
          data,
          drainTimeout: 60_000,
        });
        const { server, addr } = started;
        const load = new HTTPLoad(addr, 4, ["/id", "/slow", "/slow"], securely);
        for (const next of [renewed, leaf, renewed]) {
          await load.more(40);
          await put(next);
          await server.reload();
          assert.equal(await serialAt(addr), serialOf(next));
        }
        await load.more(40);
        await load.stop();
        assert.deepEqual(load.failures, []);
        assert.ok(load.closed > 0, `${load.closed} connections were told to close`);
        const { bytesIn, bytesOut } = await numbers(server, { died: 0, cut: 0 });
        assert.ok(bytesIn >= load.served * GET.length, `${bytesIn} bytes in`);
        assert.ok(bytesOut >= load.served * 100, `${bytesOut} bytes out`);

        await writeFile(files[0], "no certificate");
        await assert.rejects(server.reload());
        assert.equal(await serialAt(addr), serialOf(renewed), "the old workers serve on");
      }
      await rm(folder, { recursive: true });
    });

    test("resumes the session of one worker at the other", async (t) => {
      if (onNodeTls) return t.skip("node:tls has keys for each context");
      const ticketKeys = model === "process" ? { ticketKeys: [randomBytes(48)] } : {};
      const data = { tls: { ...pem(leaf), ...ticketKeys } };
      await using started = await start({ module, model, workers: 2, data });
      await resumeElsewhere(started.addr);
    });
  });
}

describe("HTTPS in workers", () => {
  const data = { tls: pem(leaf) };

  test("exchanges a worker's certificate below connections that are kept alive", async () => {
    await using started = await start({ module, data });
    const { addr } = started;
    const load = new HTTPLoad(addr, 4, ["/id", "/slow"], securely);
    for (const next of [renewed, leaf, renewed]) {
      await load.more(40);
      await using client = await securely(addr);
      const body = JSON.stringify(pem(next));
      await client.send(
        `POST /renew HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      assert.equal((await client.response())?.status, 200);
      assert.equal(await serialAt(addr), serialOf(next));
    }
    await load.more(40);
    await load.stop();
    assert.deepEqual(load.failures, []);
    assert.equal(load.closed, 0, "no connection was told to close");
  });

  test("counts the bytes of a connection while it lives", async () => {
    await using started = await start({ module, data });
    const { server, addr } = started;
    await using client = await securely(addr);
    for (let i = 0; i < 3; i++) {
      await client.send(GET);
      await client.response();
    }
    await until("they are counted", async () => {
      const { bytesIn, bytesOut } = await server.stats();
      return bytesIn >= 3 * GET.length && bytesOut > 300;
    });
    await numbers(server, { live: 1, requests: 3 });
  });

  for (const [how, connect] of [
    ["over TLS", securely],
    ["without it", RawClient.to],
  ] as const) {
    test(`has a heartbeat that closes the silent, and spares those that talk: ${how}`, async () => {
      const program = connect === securely ? module : programPath("http_served");
      await using started = await start({ module: program, data, heartbeat: { idle: 1000 } });
      const { server, addr } = started;
      await using silent = await connect(addr);
      await using talking = await connect(addr);
      await silent.send(GET);
      await silent.response();
      let over = false;
      const cutOff = (error: { code?: string }): undefined => {
        // The worker closes what it has accepted: node:tls, which is above that, is not asked.
        assert.ok(onNodeTls && error.code === "ERR_TLS_TRUNCATED", error.code);
      };
      const ended = silent
        .response()
        .catch(cutOff)
        .finally(() => {
          over = true;
        });
      let answers = 0;
      while (!over) {
        await talking.send(GET);
        assert.equal((await talking.response())?.status, 200);
        answers++;
        await pause(20);
      }
      assert.equal(await ended, undefined);
      assert.ok(answers > 1);
      await numbers(server, { silent: 1, live: 1 });
    });
  }

  test("has a heartbeat that closes clients that begin no handshake", async () => {
    await using started = await start({ module, data, heartbeat: { idle: 200 } });
    const { server, addr } = started;
    await using silent = await dial("tcp", String(addr));
    assert.equal(await silent.read(new Uint8Array(1)).catch(() => null), null);
    await numbers(server, { silent: 1, live: 0 });
  });

  test("answers what is under way when it is stopped, and cuts what does not end", async () => {
    const started = await start({ module, data, drainTimeout: 1500 });
    const { server, addr } = started;
    await using last = await securely(addr);
    await using never = await securely(addr);
    await last.send(GET.replace("/id", "/last"));
    await never.send(GET.replace("/id", "/never"));
    await using idle = await securely(addr);
    await idle.send(GET);
    await idle.response();
    await numbers(server, { requests: 3, live: 3 });
    const stopped = server.stop();
    const answer = await last.response();
    assert.equal(answer?.status, 200);
    assert.equal(answer?.headers.get("connection"), "close");
    assert.equal(await idle.response(), undefined);
    // Cut: nothing comes, whether the stream ends or fails.
    assert.equal(await never.response().catch(() => undefined), undefined);
    await stopped;
    const { cut, live } = await server.stats();
    assert.deepEqual([cut, live], [1, 0]);
  });

  test("takes the last request of a connection that is idle when its worker ends", async () => {
    await using started = await start({ module, data, drainTimeout: 60_000 });
    const { server, addr } = started;
    await using client = await securely(addr);
    await client.send(GET);
    const before = await client.response();
    await server.reload();
    await client.send(GET);
    const last = await client.response();
    assert.equal(last?.headers.get("connection"), "close");
    assert.equal(last?.body, before?.body);
    assert.equal(await client.response(), undefined);
    await numbers(server, { cut: 0, requests: 2, accepted: 1, closed: 1 });
  });

  test("does not wait for clients that begin no handshake when its worker ends", async () => {
    const patient = { tls: { ...data.tls, handshakeTimeout: 600_000 } };
    const started = await start({ module, data: patient, drainTimeout: 20_000 });
    const { server, addr } = started;
    await using silent = await dial("tcp", String(addr));
    await using halfway = await dial("tcp", String(addr));
    // The head of a record, and no more.
    await halfway.write(Uint8Array.of(22, 3, 1, 2, 0));
    await numbers(server, { live: 2 });
    await server.stop();
    const { cut, live } = await server.stats();
    assert.deepEqual([cut, live], [0, 0]);
    for (const conn of [silent, halfway]) {
      assert.equal(await conn.read(new Uint8Array(1)).catch(() => null), null);
    }
  });

  test("fails the start, and no connection, when there is no certificate", async () => {
    await assert.rejects(start({ module, data: { tls: {} } }), /certificate/);
    await assert.rejects(start({ module, data: { tls: { ...pem(leaf), cert: "none" } } }), /cert/);
  });

  test("runs in threads of startThreads, which resume one another's sessions", async (t) => {
    const threads = await startThreads({
      threads: 2,
      module,
      data,
      listen: ["tcp", "127.0.0.1:0"],
    });
    const addr = threads.addr as Addr;
    try {
      if (onNodeTls) t.diagnostic("node:tls has keys for each context: no session is resumed");
      else await resumeElsewhere(addr);
      const load = new HTTPLoad(addr, 4, ["/id", "/slow"], securely);
      await load.more(60);
      // Both, one after the other: the kernel may have given all connections to one of them.
      for (const thread of [...threads.threads]) await threads.replace(thread);
      await load.more(60);
      await load.stop();
      assert.deepEqual(load.failures, []);
      assert.ok(load.closed > 0);
    } finally {
      await threads.close();
    }
  });
});

test("a look for unread bytes takes no wake-up from whoever waits for them", async () => {
  await using listener = await listen("tcp", "127.0.0.1:0");
  const dialling = dialTls("tcp", String(listener.addr), { secureContext });
  await using server = await secure(await listener.accept(), { isServer: true, ...pem(leaf) });
  await using client = await dialling;
  for (let i = 0; i < 20; i++) {
    const buffer = new Uint8Array(16);
    const reading = server.read(buffer);
    // The bytes are in the socket when the write returns, and their event is still to come.
    await client.write(`message ${i}`);
    server.fd.hasUnread();
    const n = (await reading) as number;
    assert.equal(Buffer.from(buffer.subarray(0, n)).toString(), `message ${i}`);
  }
});
