/** roots.ts: whom clients trust by default: the roots that Node trusts, read once per process. */
import { readFileSync } from "node:fs";
import tls from "node:tls";
import type { NativeKernel } from "../syscall/kernel.ts";

type NewerTls = typeof tls & { getCACertificates?: (type: "default") => string[] };

/** NODE_EXTRA_CA_CERTS, for a Node that does not tell what it makes of it. */
function extra(): string[] {
  const path = process.env.NODE_EXTRA_CA_CERTS;
  if (!path) return [];
  try {
    return [readFileSync(path, "latin1")];
  } catch {
    // Node has warned of it already.
    return [];
  }
}

function read(): string {
  const { getCACertificates } = tls as NewerTls;
  const all = getCACertificates?.("default") ?? [...tls.rootCertificates, ...extra()];
  return all.join("\n");
}

/** Has the addon parse the roots, unless some thread did before. */
export function loadRoots(native: NativeKernel): void {
  if (!native.tlsRoots(new Uint8Array(0))) native.tlsRoots(Buffer.from(read(), "latin1"));
}
