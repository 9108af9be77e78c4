/** copy.ts: everything from a source to a sink, by the shortest way. */
import { fstatSync, read } from "node:fs";
import { checkCount, checkLimit, type OpOptions, type Reader, type Writer } from "./io.ts";
import {
  DONE,
  type FileSource,
  isFile,
  move,
  type ReaderFrom,
  readFrom,
  Transfer,
} from "./transfer.ts";

export interface CopyOptions extends OpOptions {
  /** The most bytes to copy; up to the end of the source by default. */
  limit?: number | undefined;
}

/**
 * Copies from a source until it ends, or `limit` bytes. Resolves to their number. It closes nothing:
 * pass the end on with `dst.closeWrite()`.
 *
 * Between two sockets (TCP, unix) the bytes stay in the kernel (splice), and so do those of a file
 * (sendfile): a FileHandle, or `{ fd, offset, length }`. Everything else goes through a buffer. A
 * BufReader and a limitReader before a socket change nothing about that: what they have read ahead goes
 * first.
 *
 * It waits, times out and is canceled as the reads and writes that it stands for; other goroutines'
 * reads and writes may come between. When it fails, `err.bytesWritten` says how much was copied. What
 * was taken from the source and not written is put back: the next read of the source gives it. Where the
 * source is closed, or can take nothing back, it is `err.partial`.
 *
 * @example
 * import { copy, dial, listen } from "coronet";
 * import { open } from "node:fs/promises";
 * await using listener = await listen("tcp", "127.0.0.1:0");
 * await using conn = await dial("tcp", String(listener.addr));
 * await using peer = await listener.accept();
 * const file = await open(process.execPath);
 * console.log(await copy(conn, file, { limit: 4096 })); // 4096
 * await file.close();
 * await conn.closeWrite();
 * console.log(await copy({ write: async (p) => p.length }, peer)); // 4096
 */
export async function copy(
  dst: Writer,
  src: Reader | FileSource,
  options: CopyOptions = {},
): Promise<number> {
  const { limit = Infinity, signal } = options;
  checkLimit(limit, "copy");
  const transfer = new Transfer(Math.floor(limit), signal === undefined ? undefined : { signal });
  try {
    if (isFile(src)) await copyFile(dst, src, transfer);
    else await move(dst, src, transfer);
  } catch (error) {
    if (error instanceof Error && Object.isExtensible(error)) {
      (error as { bytesWritten?: number }).bytesWritten = transfer.written;
    }
    throw error;
  }
  return transfer.written;
}

async function copyFile(dst: Writer, file: FileSource, transfer: Transfer): Promise<void> {
  const { offset = 0, length = Infinity } = file;
  checkCount(offset, "copy: offset");
  checkLimit(length, "copy: length");
  transfer.left = Math.min(transfer.left, length);
  // What has no positions (a fifo, a terminal) is read from where it stands.
  const seekable = fstatSync(file.fd).isFile();
  if (seekable && transfer.left > 0 && readFrom in dst) {
    const passed = await (dst as ReaderFrom)[readFrom](file, transfer);
    if (passed === DONE) return;
  }
  const position = seekable ? offset + transfer.written : null;
  await move(dst, new FileReader(file, position), transfer);
}

/** Reads a file through the thread pool. */
class FileReader implements Reader {
  private readonly file: FileSource;
  private position: number | null;

  constructor(file: FileSource, position: number | null) {
    this.file = file;
    this.position = position;
  }

  read(p: Uint8Array): Promise<number | null> {
    return new Promise((resolve, reject) => {
      read(this.file.fd, p, 0, p.length, this.position, (error, n) => {
        if (error !== null) reject(error);
        else if (n === 0) resolve(null);
        else {
          if (this.position !== null) this.position += n;
          resolve(n);
        }
      });
    });
  }
}
