// dom.js: elements without markup in strings, requests to the server, and how things are written.

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(3)) {
    if (child !== undefined && child !== null && child !== false) element.append(child);
  }
  return element;
}

/** An HTML element: h("a", { href, onclick }, "text", child, …). */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same of SVG. */
export function svg(tag, props, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), props, children);
}

/** Which thread is shown: "PID.THREAD"; undefined for the one that serves the page. */
export const shown = { thread: undefined };

/** The address of a request to the thread that is shown. */
export function addressOf(name, params = {}) {
  const query = new URLSearchParams();
  if (shown.thread !== undefined) query.set("thread", shown.thread);
  for (const [key, value] of Object.entries(params)) {
    if (value !== undefined && value !== "" && value !== false) {
      query.set(key, value === true ? "1" : String(value));
    }
  }
  return `/api/${name}?${query}`;
}

/** Asks the thread that is shown; throws with what it said. */
export async function get(name, params) {
  return await read(await fetch(addressOf(name, params)));
}

export async function post(name, body) {
  const headers = { "content-type": "application/json" };
  return await read(
    await fetch(addressOf(name), { method: "POST", headers, body: JSON.stringify(body) }),
  );
}

async function read(response) {
  if (response.status === 401) location.reload();
  const value = await response.json();
  if (!response.ok) throw new Error(value.error ?? `status ${response.status}`);
  return value;
}

// ---- how things are written

export function count(n) {
  if (n === undefined) return "";
  return n < 100_000 ? n.toLocaleString("en") : compact(n);
}

export function compact(n) {
  const units = ["", "k", "M", "G", "T"];
  let unit = 0;
  let value = n;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(Number.isInteger(n) || unit > 0 ? digits : 1)}${units[unit]}`;
}

export function bytes(n) {
  if (n === undefined) return "";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  let value = n;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value.toFixed(unit === 0 || value >= 100 ? 0 : 1)} ${units[unit]}`;
}

/** Of ms. */
export function lasting(ms) {
  if (ms === undefined || ms === null) return "";
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 7_200_000) return `${Math.floor(ms / 60_000)} min`;
  return `${Math.floor(ms / 3_600_000)} h`;
}

/** "function (file:///srv/app.js:12:20)" → "function app.js:12", which tells most. */
export function place(frame) {
  if (!frame) return "";
  const first = frame.split(" or ")[0];
  const [, name = "", path = first] = /^(.*?) ?\(([^()]*)\)$/.exec(first) ?? [];
  const file = path
    .split("/")
    .at(-1)
    .replace(/^(.*:\d+):\d+$/, "$1");
  return name === "" ? file : `${name} ${file}`;
}

/** A colour of the theme. */
export function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

export const CATEGORIES = [
  ["io", "I/O"],
  ["channel", "channels"],
  ["lock", "locks, joins"],
  ["sleep", "sleep"],
  ["runnable", "runnable"],
  ["other", "other promises"],
];

let hiding;

/** A line at the foot, for a while. */
export function toast(text) {
  const box = document.querySelector("#toast");
  box.textContent = text;
  box.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => {
    box.hidden = true;
  }, 4000);
}
