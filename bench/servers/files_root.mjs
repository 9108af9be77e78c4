// The folder that every server of files serves: 1 kB, 100 kB and 10 MB. It is made when it is not there.
import { existsSync, mkdirSync, renameSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const FILES = { "1k.bin": 1_000, "100k.bin": 100_000, "10m.bin": 10_000_000 };

export const root = join(dirname(fileURLToPath(import.meta.url)), "..", "build", "files");

mkdirSync(root, { recursive: true });
for (const [name, size] of Object.entries(FILES)) {
  const path = join(root, name);
  if (existsSync(path)) continue;
  writeFileSync(`${path}.${process.pid}`, Buffer.alloc(size, "0123456789abcdef"));
  // Long ago, as files on a server are.
  utimesSync(`${path}.${process.pid}`, 1e9, 1e9);
  renameSync(`${path}.${process.pid}`, path);
}
