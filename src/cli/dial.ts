/**
 * dial.ts: `coronet dial`, standard input to a connection and the connection to standard output.
 *
 * Two goroutines, one for each direction. Both wait for whoever takes the bytes, so neither a slow peer
 * nor a slow reader of our output makes bytes pile up here. The end of the input is passed on as the
 * end of our writing; the peer's end ends the program.
 */
import { constants } from "node:os";
import { type Conn, dial, go, NetError } from "../index.ts";
import { ADDRESS_HELP, networkOf } from "./address.ts";
import { type Arguments, Failure } from "./arguments.ts";
import type { Command } from "./command.ts";
import { aborted, Shutdown } from "./shutdown.ts";

const help = `coronet dial: connects standard input and output to an address

Usage: coronet dial ADDRESS [options]

  --timeout MS        how long connecting may take, names included
  --network NETWORK   tcp, tcp4, tcp6, unix or unixpacket; by the address's form when left out

The end of the input closes our half of the connection; it ends when the peer has closed its own.

${ADDRESS_HELP}

Examples:
  coronet dial 127.0.0.1:2333
  printf 'GET / HTTP/1.0\\r\\n\\r\\n' | coronet dial example.com:80 --timeout 3000
  tar c . | coronet dial @backup`;

/** What kept the input from being sent, if anything did. */
type SendResult = Error | undefined;

/** Sends standard input, then ends our half. Resolves to an error of the input itself. */
async function send(conn: Conn): Promise<SendResult> {
  try {
    for await (const chunk of process.stdin) await conn.write(chunk as Uint8Array);
    await conn.closeWrite();
  } catch (error) {
    // The peer takes no more: what it still has to say, and why, the other direction will tell.
    if (error instanceof NetError) return undefined;
    // The input was given up because the peer has ended.
    if ((error as NodeJS.ErrnoException).code === "ERR_STREAM_PREMATURE_CLOSE") return undefined;
    await conn.close();
    return error as Error;
  }
  return undefined;
}

/** Prints what arrives until the peer ends, or until nobody reads our output any more. */
async function receive(conn: Conn): Promise<void> {
  for await (const chunk of conn) {
    const error = await printed(chunk);
    if (error === undefined) continue;
    if (error.code === "EPIPE") return;
    throw new Failure(`coronet dial: standard output: ${error.message}`);
  }
}

/** Resolves when standard output has taken the bytes, to an error if it did not. */
function printed(chunk: Uint8Array): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    try {
      process.stdout.write(chunk, (error) => resolve(error ?? undefined));
    } catch (error) {
      resolve(error as NodeJS.ErrnoException);
    }
  });
}

async function converse(conn: Conn): Promise<void> {
  const sending = go(send, conn).join();
  let failure: unknown;
  try {
    await receive(conn);
  } catch (error) {
    failure = error;
  }
  process.stdin.destroy();
  await conn.close();
  const inputError = await sending;
  if (inputError !== undefined) {
    throw new Failure(`coronet dial: standard input: ${inputError.message}`);
  }
  if (failure !== undefined) throw failure;
}

/** Ends the program with the status of one that a signal has ended. */
function exitFor({ signal }: Shutdown): never {
  // Not process.exitCode: output that nobody takes would keep the process for ever.
  process.exit(128 + (signal === undefined ? 0 : constants.signals[signal]));
}

async function run(args: Arguments): Promise<number> {
  const [address] = args.positionals as [string];
  const network = networkOf(address, args.text("network"));
  const timeout = args.milliseconds("timeout") ?? null;
  using shutdown = new Shutdown();
  const { begun } = shutdown;
  try {
    await using conn = await dial(network, address, { timeout, signal: begun });
    go(async () => {
      await aborted(begun);
      await conn.close();
      exitFor(shutdown);
    }).unref();
    await converse(conn);
    return 0;
  } catch (error) {
    if (begun.aborted) exitFor(shutdown);
    throw error;
  }
}

export const dialCommand: Command = {
  name: "dial",
  summary: "standard input and output over a connection (netcat)",
  help,
  options: { timeout: { type: "string" }, network: { type: "string" } },
  positionals: ["ADDRESS"],
  run,
};
