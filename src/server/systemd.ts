/**
 * systemd.ts: what a service tells its manager (sd_notify(3)): datagrams to the socket that
 * NOTIFY_SOCKET names. Without it nothing is sent. A message that can't be sent is no failure of the
 * service.
 */

import { unixSockaddr } from "../net/addr.ts";
import { runtime } from "../runtime/runtime.ts";
import { AF_UNIX, SOCK_DGRAM } from "../syscall/constants.ts";

export class ServiceManager {
  private readonly path: string | undefined;
  private readonly timer: NodeJS.Timeout | undefined;

  /** Reads the environment: where to tell, and whether to say regularly that it is alive. */
  constructor() {
    const { NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID } = process.env;
    this.path = NOTIFY_SOCKET || undefined;
    const usec = Number(WATCHDOG_USEC);
    const mine = WATCHDOG_PID === undefined || Number(WATCHDOG_PID) === process.pid;
    if (this.path === undefined || !(usec > 0) || !mine) return;
    // Half of the time after which the manager would think it dead (sd_watchdog_enabled(3)).
    this.timer = setInterval(() => this.tell("WATCHDOG=1"), usec / 2000);
    this.timer.unref();
  }

  /** It serves; `newProcess` when this process has taken the place of the one that the manager knows. */
  ready(newProcess = false): void {
    this.tell(newProcess ? `MAINPID=${process.pid}\nREADY=1` : "READY=1");
  }

  reloading(): void {
    // The time is needed by services of Type=notify-reload.
    this.tell(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
  }

  stopping(): void {
    this.tell("STOPPING=1");
  }

  close(): void {
    clearInterval(this.timer);
  }

  private tell(state: string): void {
    if (this.path === undefined) return;
    const { kernel } = runtime();
    const fd = kernel.socket(AF_UNIX, SOCK_DGRAM, 0);
    if (fd < 0) return;
    const bytes = Buffer.from(state);
    if (kernel.connect(fd, unixSockaddr(this.path)) === 0) kernel.send(fd, bytes, 0, bytes.length);
    kernel.close(fd);
  }
}
