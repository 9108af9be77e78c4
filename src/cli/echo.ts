/** echo.ts: `coronet echo`, an echo server for scripts. */
import { ADDRESS_HELP, networkOf } from "./address.ts";
import type { Arguments } from "./arguments.ts";
import type { Command } from "./command.ts";
import { EchoServer } from "./echo_server.ts";
import { print } from "./output.ts";
import { aborted, Shutdown } from "./shutdown.ts";

const help = `coronet echo: sends back whatever it receives, one goroutine per connection

Usage: coronet echo --listen ADDRESS [options]

  --listen ADDRESS    where to listen; printed as "listening on ADDRESS" with the port it got
  --network NETWORK   tcp, tcp4, tcp6, unix or unixpacket; by the address's form when left out
  --drain SECONDS     on SIGINT or SIGTERM, how long connections may finish (5)

${ADDRESS_HELP}

Examples:
  coronet echo --listen :2333
  coronet echo --listen /tmp/echo.sock
  printf hi | nc -N 127.0.0.1 2333`;

async function run(args: Arguments): Promise<number> {
  const address = args.required("listen", ":2333");
  const network = networkOf(address, args.text("network"));
  const drainMs = args.seconds("drain", 5);
  using shutdown = new Shutdown();
  const server = await EchoServer.listen(network, address);
  print(`listening on ${server.listener.addr}`);
  await aborted(shutdown.begun);
  await server.drain(drainMs, shutdown.atOnce);
  return 0;
}

export const echo: Command = {
  name: "echo",
  summary: "an echo server for scripts",
  help,
  options: {
    listen: { type: "string" },
    network: { type: "string" },
    drain: { type: "string" },
  },
  positionals: [],
  run,
};
