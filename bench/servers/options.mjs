// The options every JavaScript echo server takes: --host, --port (0 chooses one) and --buffer, the
// size of the read buffer for the servers that hold one per connection.

export function serverOptions(args) {
  const options = { host: "127.0.0.1", port: 0, buffer: 65536 };
  for (let i = 0; i < args.length; i += 2) {
    const name = args[i]?.replace(/^--/, "");
    if (name === undefined || !(name in options) || args[i + 1] === undefined) {
      throw new Error(`unknown option or no value: ${args[i]}`);
    }
    options[name] = name === "host" ? args[i + 1] : Number(args[i + 1]);
  }
  return options;
}
