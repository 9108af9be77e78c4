// The options every JavaScript echo server takes: --host, --port (0 chooses one) and --buffer, the
// size of the read buffer for the servers that hold one per connection.

export function serverOptions(args) {
  return parse(args, { host: "127.0.0.1", port: 0, buffer: 65536 });
}

/** Those of a gateway: there is an --upstream, "host:port". */
export function gatewayOptions(args) {
  return parse(args, { host: "127.0.0.1", port: 0, upstream: "" });
}

function parse(args, options) {
  for (let i = 0; i < args.length; i += 2) {
    const name = args[i]?.replace(/^--/, "");
    if (name === undefined || !(name in options) || args[i + 1] === undefined) {
      throw new Error(`unknown option or no value: ${args[i]}`);
    }
    options[name] = typeof options[name] === "string" ? args[i + 1] : Number(args[i + 1]);
  }
  return options;
}
