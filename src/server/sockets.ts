/**
 * sockets.ts: the sockets that a server listens on. They belong to the supervisor and outlive every
 * worker; so connections that nobody accepts at the moment wait in them instead of being refused.
 *
 * They come from the program that this one replaces, from systemd (sd_listen_fds(3)), or are made.
 */

import { type Addr, TCPAddr } from "../net/addr.ts";
import { adoptListener } from "../net/adopt.ts";
import { listen } from "../net/listen.ts";
import type { Listener } from "../net/listener.ts";
import { OwnedPath } from "../net/unix.ts";
import type { SocketBoot } from "./control.ts";
import { HANDOVER } from "./environment.ts";
import type { ListenEntry, Settings } from "./options.ts";

/** A socket on its way to the next program. */
export interface HandedOver extends SocketBoot {
  /** The entry of `listen` as it was written, and which of its sockets this is. */
  asked: string;
  worker: number;
  /** The next program removes the socket's path at its end. */
  path: boolean;
}

/** What the next program is told. */
export interface Handover {
  pid: number;
  sockets: readonly HandedOver[];
}

interface Socket {
  asked: string;
  worker: number;
  listener: Listener;
  /** It came from systemd: there is one for all workers. */
  activated?: boolean;
  /** The path that came with it from the program before this one. */
  path?: OwnedPath;
}

const FIRST_LISTEN_FD = 3;

const askedOf = ([network, address]: ListenEntry): string => `${network} ${address}`;

/** What the program before this one left, if it did. Asked once. */
export function takeHandover(): Handover | undefined {
  const text = process.env[HANDOVER];
  delete process.env[HANDOVER];
  return text === undefined ? undefined : (JSON.parse(text) as Handover);
}

/** The sockets that systemd gave this process, in its order, with their names. Asked once. */
function takeActivated(): { name: string; listener: Listener }[] {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES = "" } = process.env;
  if (LISTEN_FDS === undefined || Number(LISTEN_PID) !== process.pid) return [];
  for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) delete process.env[name];
  const names = LISTEN_FDNAMES.split(":");
  return Array.from({ length: Number(LISTEN_FDS) }, (_, i) => ({
    name: names[i] ?? "",
    listener: adoptListener(FIRST_LISTEN_FD + i),
  }));
}

/** Finds for each entry the socket of its name, else the next one without a place. */
function matchActivated(settings: Settings): Socket[] {
  const activated = takeActivated();
  const sockets: Socket[] = [];
  const entries = [...settings.listen].sort((a, b) => Number(named(b)) - Number(named(a)));
  for (const entry of entries) {
    const name = entry[2]?.name;
    const at = activated.findIndex((each) => name === undefined || each.name === name);
    if (at === -1) continue;
    const [found] = activated.splice(at, 1);
    if (found === undefined) continue;
    const { listener } = found;
    sockets.push({ asked: askedOf(entry), worker: 0, listener, activated: true });
  }
  for (const { name, listener } of activated) {
    settings.log(`socket ${listener.addr} (${name}) was handed over, but nothing listens on it`);
    void listener.close();
  }
  return sockets;
}

function named(entry: ListenEntry): boolean {
  return entry[2]?.name !== undefined;
}

/** The address again, with the port that the kernel chose for the first socket. */
function again(address: string, first: Addr): string {
  if (!(first instanceof TCPAddr)) return address;
  return `${address.slice(0, address.lastIndexOf(":"))}:${first.port}`;
}

function adopt({ fd, asked, worker, path }: HandedOver): Socket {
  const listener = adoptListener(fd);
  return path
    ? { asked, worker, listener, path: new OwnedPath(String(listener.addr)) }
    : { asked, worker, listener };
}

async function closeSocket({ listener, path }: Socket): Promise<void> {
  path?.unlink();
  await listener.close();
}

export class Sockets {
  private readonly all: readonly Socket[];
  private readonly entries: readonly ListenEntry[];

  private constructor(entries: readonly ListenEntry[], all: readonly Socket[]) {
    this.entries = entries;
    this.all = all;
  }

  /** Takes over what was handed to this process, and makes what is missing. */
  static async open(settings: Settings, handover: Handover | undefined): Promise<Sockets> {
    const given: Socket[] =
      handover === undefined ? matchActivated(settings) : handover.sockets.map(adopt);
    const sockets: Socket[] = [];
    try {
      for (const entry of settings.listen)
        sockets.push(...(await openEntry(entry, settings, given)));
    } catch (error) {
      for (const socket of sockets) if (!given.includes(socket)) await closeSocket(socket);
      throw error;
    }
    for (const socket of given) if (!sockets.includes(socket)) await closeSocket(socket);
    return new Sockets(settings.listen, sockets);
  }

  /** What the server listens on, in the order of its options. */
  get addrs(): Addr[] {
    return this.forIndex(0).map(({ listener }) => listener.addr);
  }

  get listeners(): readonly Listener[] {
    return this.forIndex(0).map(({ listener }) => listener);
  }

  /** What a worker listens on: a socket of its own where there is one, else everybody's. */
  forWorker(index: number): SocketBoot[] {
    return this.forIndex(index).map(({ listener }) => describe(listener));
  }

  forSuccessor(): HandedOver[] {
    return this.all.map(({ asked, worker, listener, path }) => {
      // Its copy keeps the socket open when this process closes its own: the poller has to be told.
      listener.fd.share();
      const owned = listener.ownedPath !== undefined || path !== undefined;
      return { ...describe(listener), asked, worker, path: owned };
    });
  }

  /** Nothing is accepted after the call, on none of them. */
  async close(): Promise<void> {
    await Promise.all(this.all.map(closeSocket));
  }

  /** The next program has them: paths stay. */
  async passed(): Promise<void> {
    await Promise.all(this.all.map(({ listener }) => listener.passed()));
  }

  private forIndex(index: number): Socket[] {
    return this.entries.map((entry) => {
      const asked = askedOf(entry);
      const own = this.all.find((each) => each.asked === asked && each.worker === index);
      return own ?? (this.all.find((each) => each.asked === asked) as Socket);
    });
  }
}

function describe({ fd, network, addr }: Listener): SocketBoot {
  return { fd: fd.sysfd, network, addr: String(addr) };
}

async function openEntry(
  entry: ListenEntry,
  { model, workers }: Settings,
  given: readonly Socket[],
): Promise<Socket[]> {
  const asked = askedOf(entry);
  const [network, address, options] = entry;
  const mine = given.filter((each) => each.asked === asked);
  const [activated] = mine.filter((each) => each.activated);
  if (activated !== undefined) return [activated];
  const spread = model === "base" && workers > 1 && network.startsWith("tcp");
  if (!spread) {
    const [socket] = mine;
    if (socket !== undefined) return [socket];
    return [{ asked, worker: 0, listener: await listen(network, address, options) }];
  }
  const sockets = [...mine];
  for (let worker = 0; worker < workers; worker++) {
    if (sockets.some((each) => each.worker === worker)) continue;
    const first = sockets[0]?.listener.addr;
    const place = first === undefined ? address : again(address, first);
    const listener = await listen(network, place, { ...options, reusePort: true });
    sockets.push({ asked, worker, listener });
  }
  return sockets;
}
