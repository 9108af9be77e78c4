// The example of a gateway under load, from real clients.
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const program = fileURLToPath(new URL("../examples/gateway.js", import.meta.url));
const SECONDS = Number(process.env.CORONET_GATEWAY_SECONDS) || 1;

/** Whether a program is here. */
async function has(name: string): Promise<boolean> {
  return await run("sh", ["-c", `command -v ${name}`]).then(
    () => true,
    () => false,
  );
}

describe("the gateway", () => {
  let child: ChildProcess;
  let url = "";

  before(async () => {
    const free = ["--rate", "1000000000", "--burst", "1000000000", "--ttl", "50"];
    child = spawn(process.execPath, [program, "--serve", "--quiet", ...free], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = await once(child.stdout as NodeJS.ReadableStream, "data");
    url = `http://${/listening on (\S+)/.exec(String(line))?.[1]}`;
  });

  after(async () => {
    child.kill();
    await once(child, "exit");
  });

  for (const path of ["/", "/pages/1"]) {
    it(`answers everything under wrk: ${path}`, async (t) => {
      if (!(await has("wrk"))) return t.skip("wrk is not here");
      const options = ["-t1", "-c32", `-d${SECONDS}s`, "-H", "Authorization: Bearer ada"];
      const { stdout } = await run("wrk", [...options, url + path]);
      assert.doesNotMatch(stdout, /Non-2xx|Socket errors/);
      assert.match(stdout, /[1-9]\d* requests in/);
      t.diagnostic(/Requests\/sec:\s+[\d.]+/.exec(stdout)?.[0] ?? "");
    });
  }

  it("answers curl, with and without a token", async (t) => {
    if (!(await has("curl"))) return t.skip("curl is not here");
    const code = ["-s", "-o", "/dev/null", "-w", "%{http_code}"];
    assert.equal((await run("curl", [...code, url])).stdout, "401");
    const token = ["-H", "Authorization: Bearer eve"];
    const { stdout } = await run("curl", ["-si", ...token, "-d", "x=y", `${url}/form`]);
    assert.match(stdout, /^HTTP\/1\.1 200 OK\r\n/);
    assert.match(stdout, /\r\n\r\nfor eve\n$/);
    assert.equal(child.exitCode, null);
  });
});
