/**
 * busiest.ts: which connections are worth a line on the screen.
 *
 * Those that moved most bytes lately, by powers of two so that they do not change places all the time;
 * among equals the newest. One pass over all connections, however many there are.
 */
import type { EchoConnection } from "../echo_server.ts";

/** How much of a connection's activity is left after one look. */
const DECAY = 0.7;

/** Looks at every connection once, which also ages its activity; the first `limit` in order. */
export function busiest(connections: Iterable<EchoConnection>, limit: number): EchoConnection[] {
  const top: EchoConnection[] = [];
  for (const connection of connections) {
    const moved = connection.bytesIn + connection.bytesOut;
    connection.activity = connection.activity * DECAY + (moved - connection.seen);
    connection.seen = moved;
    insert(top, connection, limit);
  }
  return top;
}

function insert(top: EchoConnection[], connection: EchoConnection, limit: number): void {
  if (
    limit === 0 ||
    (top.length === limit && before(top[limit - 1] as EchoConnection, connection))
  ) {
    return;
  }
  let place = top.length;
  while (place > 0 && before(connection, top[place - 1] as EchoConnection)) place--;
  top.splice(place, 0, connection);
  if (top.length > limit) top.pop();
}

function before(a: EchoConnection, b: EchoConnection): boolean {
  const difference = rank(b) - rank(a);
  return difference === 0 ? a.openedAt > b.openedAt : difference < 0;
}

function rank({ activity }: EchoConnection): number {
  return activity < 1 ? 0 : 1 + Math.floor(Math.log2(activity));
}
