/**
 * environment.ts: what the environment says to this process alone, and its children must not take for
 * theirs: sockets of systemd or of the program before this one, and where readiness is told.
 */

/** Sockets from the program that this one replaces; see handover.ts. */
export const HANDOVER = "CORONET_HANDOVER";

const OWN = [
  HANDOVER,
  "LISTEN_PID",
  "LISTEN_FDS",
  "LISTEN_FDNAMES",
  "NOTIFY_SOCKET",
  "WATCHDOG_USEC",
  "WATCHDOG_PID",
];

/** The environment for a worker. */
export function withoutService(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !OWN.includes(name)));
}
