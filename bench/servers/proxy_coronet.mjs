// A proxy on Coronet: joins each two connections that it accepts. With CORONET_PROXY=buffer the bytes
// come into the process, as they would through anything that looks at them.
import { copy, go, listen } from "../../dist/src/index.js";
import { serverOptions } from "./options.mjs";

const { host, port } = serverOptions(process.argv.slice(2));
const byBuffer = process.env.CORONET_PROXY === "buffer";

async function pass(to, from) {
  try {
    if (byBuffer) for await (const chunk of from) await to.write(chunk);
    else await copy(to, from);
  } finally {
    await Promise.all([to.close(), from.close()]);
  }
}

const listener = await listen("tcp", `${host}:${port}`);
const address = String(listener.addr);
console.log(`listening ${address.slice(address.lastIndexOf(":") + 1)}`);
for (;;) {
  const [one, other] = [await listener.accept(), await listener.accept()];
  go(pass, one, other);
  go(pass, other, one);
}
