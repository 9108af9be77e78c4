/**
 * sockets.ts: the sockets that a server listens on. They belong to the supervisor and outlive every
 * worker; so connections that nobody accepts at the moment wait in them instead of being refused.
 *
 * They come from the program that this one replaces, from systemd (sd_listen_fds(3)), or are made.
 */
import { adoptListener } from "./adopt.ts";
import { type Addr, TCPAddr } from "../net/addr.ts";
import { listen } from "../net/listen.ts";
import type { Listener } from "../net/listener.ts";
import type { SocketBoot } from "./control.ts";
import { HANDOVER } from "./environment.ts";
import type { ListenEntry, Settings } from "./options.ts";

/** A socket on its way to the next program. */
export interface HandedOver extends SocketBoot {
  /** The entry of `listen` as it was written, and which of its sockets this is. */
  asked: string;
  worker: number;
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
    sockets.push({ asked: askedOf(entry), worker: 0, listener: found.listener });
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
      handover === undefined
        ? matchActivated(settings)
        : handover.sockets.map(({ fd, asked, worker }) => {
            return { asked, worker, listener: adoptListener(fd) };
          });
    const sockets: Socket[] = [];
    try {
      for (const entry of settings.listen) sockets.push(...(await openEntry(entry, settings, given)));
    } catch (error) {
      for (const { listener } of sockets) await listener.close();
      throw error;
    }
    for (const { listener } of given.filter((each) => !sockets.includes(each))) {
      await listener.close();
    }
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
    return this.all.map(({ asked, worker, listener }) => {
      return { ...describe(listener), asked, worker };
    });
  }

  async close(): Promise<void> {
    for (const { listener } of this.all) await listener.close();
  }

  private forIndex(index: number): Socket[] {
    return this.entries.map((entry) => {
      const asked = askedOf(entry);
      const own = this.all.find((each) => each.asked === asked && each.worker === index);
      return own ?? (this.all.find((each) => each.asked === asked) as Socket);
    });
  }
}

function describe({ sysfd, network, addr }: Listener): SocketBoot {
  return { fd: sysfd, network, addr: String(addr) };
}

async function openEntry(
  entry: ListenEntry,
  { model, workers }: Settings,
  given: readonly Socket[],
): Promise<Socket[]> {
  const asked = askedOf(entry);
  const [network, address, options] = entry;
  const mine = given.filter((each) => each.asked === asked);
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
