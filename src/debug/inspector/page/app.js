// app.js: the frame around the views: tabs, keys, theme, the drawer and the line to the server.

import { connections } from "./connections.js";
import { get, h, shown, toast } from "./dom.js";
import { goroutines } from "./goroutines.js";
import { isPaused, onLive, open, setPaused } from "./live.js";
import { objects } from "./objects.js";
import { overview } from "./overview.js";
import { poller } from "./poller.js";
import { reports } from "./reports.js";
import { traces } from "./trace.js";

/** A view: a function that is given its place and gives { live?, restyle?, keys?, destroy? }. */
const VIEWS = [
  ["overview", "Overview", overview],
  ["goroutines", "Goroutines", goroutines],
  ["connections", "Connections", connections],
  ["poller", "Poller", poller],
  ["objects", "Channels & locks", objects],
  ["trace", "Trace & profiles", traces],
  ["reports", "Verdicts", reports],
];

const KEYS = [
  ["1 … 7", "the views"],
  ["/", "filter"],
  ["↑ ↓ PgUp PgDn", "move in a table"],
  ["Enter", "open what is chosen"],
  ["Esc", "close details, or this"],
  ["p", "pause and go on"],
  ["t", "dark or light"],
  ["+ − ← →, or w s a d", "in a trace: zoom and move"],
  ["?", "this help"],
];

const root = document.documentElement;
const place = document.querySelector("#view");
const drawer = document.querySelector("#drawer");
const dialog = document.querySelector("#dialog");
const tabs = document.querySelector(".tabs");
let current;
let before;

// ---- theme

const dark = matchMedia("(prefers-color-scheme: dark)");

function applyTheme() {
  root.dataset.theme = localStorage.getItem("coronet-theme") ?? (dark.matches ? "dark" : "light");
  current?.restyle?.();
}

function toggleTheme() {
  localStorage.setItem("coronet-theme", root.dataset.theme === "dark" ? "light" : "dark");
  applyTheme();
}

dark.addEventListener("change", applyTheme);

// ---- views

function route() {
  const [name = "overview", detail] = location.hash.slice(2).split("/");
  const found = VIEWS.find(([each]) => each === name) ?? VIEWS[0];
  if (found[0] !== before) {
    before = found[0];
    current?.destroy?.();
    place.replaceChildren();
    place.className = `view ${found[0]}`;
    current = found[2](place);
    for (const tab of tabs.children) {
      const active = tab.dataset.view === found[0];
      if (active) {
        tab.setAttribute("aria-current", "page");
        tab.scrollIntoView({ block: "nearest", inline: "center" });
      } else tab.removeAttribute("aria-current");
    }
    closeDrawer();
  }
  if (detail !== undefined) current.show?.(detail);
}

/** Opens details beside the view. */
export function openDrawer(title, ...content) {
  const close = h("button", { type: "button", "aria-label": "Close", onclick: closeDrawer }, "✕");
  drawer.replaceChildren(
    h("header", null, h("h2", null, title), close),
    h("div", null, ...content),
  );
  drawer.hidden = false;
  document.body.classList.add("with-drawer");
}

export function closeDrawer() {
  if (drawer.hidden) return;
  drawer.hidden = true;
  document.body.classList.remove("with-drawer");
  const [view, detail] = location.hash.slice(2).split("/");
  if (detail !== undefined) history.replaceState(null, "", `#/${view}`);
  document.querySelector(".grid .body")?.focus({ preventScroll: true });
}

/** Asks before something is done that cannot be undone. */
export function confirmed(text, verb) {
  return new Promise((resolve) => {
    const done = (answer) => {
      dialog.close();
      resolve(answer);
    };
    const yes = h("button", { type: "button", class: "danger", onclick: () => done(true) }, verb);
    const no = h("button", { type: "button", onclick: () => done(false) }, "Cancel");
    dialog.replaceChildren(h("p", null, text), h("div", { class: "buttons" }, no, yes));
    dialog.onclose = () => resolve(false);
    dialog.showModal();
    no.focus();
  });
}

function showHelp() {
  const rows = KEYS.map(([key, what]) => [h("dt", null, h("kbd", null, key)), h("dd", null, what)]);
  const close = h("button", { type: "button", onclick: () => dialog.close() }, "Close");
  dialog.replaceChildren(
    h("h2", null, "Keys"),
    h("dl", { class: "keys" }, rows),
    h("h2", null, "Filters"),
    h(
      "p",
      null,
      "Words that must all occur. ",
      h("code", null, "kind:read"),
      " looks in one column, ",
      h("code", null, "idle>60000"),
      " compares (times are in ms), ",
      h("code", null, "-echo"),
      " leaves out.",
    ),
    h("div", { class: "buttons" }, close),
  );
  dialog.onclose = null;
  dialog.showModal();
  close.focus();
}

// ---- keys

function pause() {
  setPaused(!isPaused());
  const button = document.querySelector('[data-do="pause"]');
  button.setAttribute("aria-pressed", String(isPaused()));
  button.textContent = isPaused() ? "Go on" : "Pause";
}

const ACTIONS = { pause, theme: toggleTheme, help: showHelp };

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "Escape") {
    if (typing) event.target.blur();
    else closeDrawer();
    return;
  }
  if (typing) return;
  if (current?.keys?.(event) === true) return event.preventDefault();
  const number = Number(event.key);
  if (number >= 1 && number <= VIEWS.length) location.hash = `#/${VIEWS[number - 1][0]}`;
  else if (event.key === "/") {
    const field = place.querySelector(".filter");
    if (field === null) return;
    event.preventDefault();
    field.focus();
    field.select();
  } else if (event.key === "p") pause();
  else if (event.key === "t") toggleTheme();
  else if (event.key === "?") showHelp();
}

// ---- threads

const chooser = document.querySelector(".threads");

/** The threads that one may look into, when there are several. */
function offerThreads({ threads }) {
  const names = threads.map(({ pid, thread }, i) => (i === 0 ? "" : `${pid}.${thread}`));
  const before = [...chooser.options].map(({ value }) => value);
  if (names.join() === before.join()) return;
  const pid = threads[0].pid;
  chooser.replaceChildren(
    ...threads.map((each, i) => {
      const within = each.thread === 0 ? "" : `.${each.thread}`;
      const other = each.pid === pid ? `thread ${each.thread}` : `process ${each.pid}${within}`;
      return h("option", { value: names[i] }, i === 0 ? "main thread" : other);
    }),
  );
  chooser.value = shown.thread ?? "";
  chooser.hidden = names.length < 2;
  // The one that was shown has ended.
  if (!names.includes(shown.thread ?? "")) choose("");
}

function choose(name) {
  chooser.value = name;
  shown.thread = name === "" ? undefined : name;
  before = undefined;
  route();
}

chooser.addEventListener("change", () => choose(chooser.value));

// ---- start

async function begin() {
  if (location.hash.startsWith("#token=")) history.replaceState(null, "", "#/overview");
  applyTheme();
  VIEWS.forEach(([name, label], i) => {
    const key = h("span", { class: "number", "aria-hidden": "true" }, String(i + 1));
    tabs.append(h("a", { href: `#/${name}`, "data-view": name }, key, label));
  });
  for (const [name, action] of Object.entries(ACTIONS)) {
    document.querySelector(`[data-do="${name}"]`).addEventListener("click", action);
  }
  addEventListener("hashchange", route);
  addEventListener("keydown", onKey);
  const line = document.querySelector(".link");
  onLive((tick, connected) => {
    line.className = connected ? "link on" : "link";
    line.textContent = connected ? "live" : "no answer";
    if (tick === undefined) return;
    offerThreads(tick);
    current?.live?.(tick);
  });
  route();
  open();
  const about = await get("about");
  const program = about.program.split("/").slice(-2).join("/");
  document.title = `${program} · coronet`;
  document
    .querySelector(".about")
    .append(h("span", null, program), ` pid ${about.pid} · node ${about.node.slice(1)}`);
}

begin().catch((error) => toast(error.message));
