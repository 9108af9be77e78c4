/** format.ts: numbers as people read them. */

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"] as const;

/** A number of bytes: "0 B", "999 B", "1.2 kB", "34.1 MB". */
export function bytes(n: number): string {
  let value = n;
  let unit = 0;
  // What would be rounded to 1000 belongs to the next unit.
  while (value >= (unit === 0 ? 999.5 : 999.95) && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** A whole number with its thousands set apart: "18,320". */
export function count(n: number): string {
  return String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** "1 connection", "2 connections". */
export function plural(n: number, noun: string): string {
  return `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
}

/** A length of time: "0.4 s", "42 s", "3 min 05 s", "2 h 07 min", "4 d 03 h". */
export function duration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 1) return `${Math.floor(ms / 100) / 10} s`;
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${two(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${two(minutes % 60)} min`;
  return `${Math.floor(hours / 24)} d ${two(hours % 24)} h`;
}

function two(n: number): string {
  return String(n).padStart(2, "0");
}
