/**
 * privileges.ts: becoming another user once the sockets are bound.
 *
 * All at once and for good: supplementary groups, group, user, in this order (setgroups(2), setgid(2),
 * setuid(2)), for every thread of the process, as Node's functions do; workers inherit it.
 */
import { readFileSync } from "node:fs";

interface Account {
  name: string;
  uid: number;
  gid: number;
}

/** A line of passwd(5) by name or number. */
function findUser(user: string | number): Account | undefined {
  for (const line of readFileSync("/etc/passwd", "utf8").split("\n")) {
    const [name = "", , uid, gid] = line.split(":");
    if (name === user || (uid !== undefined && uid === String(user))) {
      return { name, uid: Number(uid), gid: Number(gid) };
    }
  }
  return undefined;
}

function findGroup(group: string | number): number | undefined {
  if (typeof group === "number") return group;
  for (const line of readFileSync("/etc/group", "utf8").split("\n")) {
    const [name, , gid] = line.split(":");
    if (name === group) return Number(gid);
  }
  return undefined;
}

function fail(text: string, code: string): never {
  throw Object.assign(new Error(`createServer: ${text}`), { code });
}

/** Becomes this user and group; does nothing without a user. Throws EPERM when that is not allowed. */
export function becomeUser(
  user: string | number | undefined,
  group: string | number | undefined,
): void {
  if (user === undefined) return;
  const account = findUser(user);
  const uid = account?.uid ?? (typeof user === "number" ? user : undefined);
  if (uid === undefined) fail(`there is no user "${user}"`, "ENOENT");
  const gid = group === undefined ? account?.gid : findGroup(group);
  if (gid === undefined) {
    fail(
      group === undefined ? `user ${user} has no group: name one` : `there is no group "${group}"`,
      "ENOENT",
    );
  }
  const mine = process.getuid?.();
  if (mine === uid && process.getgid?.() === gid) return;
  if (mine !== 0) {
    fail(`to become user "${user}" it has to be started as root; it runs as uid ${mine}`, "EPERM");
  }
  const { initgroups } = process as { initgroups?: (user: string, group: number) => void };
  if (account !== undefined) initgroups?.(account.name, gid);
  else process.setgroups?.([gid]);
  process.setgid?.(gid);
  process.setuid?.(uid);
  if (uid !== 0 && canReturn()) fail(`user "${user}": root could be regained`, "EPERM");
}

function canReturn(): boolean {
  try {
    process.setuid?.(0);
    return true;
  } catch {
    return false;
  }
}
