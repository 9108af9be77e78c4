// trace.js: the flight recorder's switch, profiles to download, and a viewer of recorded events.
import { addressOf, color, count, get, h, post, toast } from "./dom.js";

const PROFILES = [
  ["cpu", "CPU", "where time is spent"],
  ["heap", "Heap", "what was allocated and lives"],
  ["allocs", "Allocations", "what is allocated"],
  ["goroutine", "Goroutines", "all of them, at once"],
  ["block", "Block", "waits for each other"],
  ["mutex", "Mutex", "who held others up"],
];

export function traces(place) {
  const record = h("button", { type: "button", class: "primary", onclick: toggle }, "Record");
  const look = h(
    "button",
    { type: "button", onclick: show, disabled: true },
    "Show what was recorded",
  );
  const save = h(
    "a",
    { class: "button", href: addressOf("trace"), download: "trace.json" },
    "Download for Perfetto",
  );
  save.hidden = true;
  const seconds = h(
    "select",
    { "aria-label": "How long" },
    [1, 5, 10, 30].map((n) => h("option", { value: n }, `${n} s`)),
  );
  seconds.value = "5";
  const links = PROFILES.map(([kind, label, what]) =>
    h(
      "button",
      {
        type: "button",
        title: what,
        onclick: (event) => void profile(kind, seconds.value, event.currentTarget),
      },
      label,
    ),
  );
  const status = h("span", { class: "soft", role: "status" }, "");
  const viewer = new Viewer();
  place.append(
    h("div", { class: "bar" }, h("b", null, "Flight recorder"), record, look, save, status),
    h(
      "div",
      { class: "bar" },
      h("b", null, "Profile of"),
      seconds,
      links,
      h("span", { class: "soft" }, "for go tool pprof"),
    ),
    viewer.element,
  );
  let tracing = false;
  const update = (now) => {
    tracing = now;
    record.textContent = tracing ? "Stop" : "Record";
    record.setAttribute("aria-pressed", String(tracing));
    look.disabled = !tracing;
    save.hidden = !tracing;
    status.textContent = tracing ? "recording: the last 131,072 events are kept" : "";
  };
  async function toggle() {
    try {
      if (tracing) await show();
      const answer = await post("trace", { record: !tracing });
      update(answer.tracing);
    } catch (error) {
      toast(error.message);
    }
  }
  async function show() {
    try {
      const [recorded, { goroutines }] = await Promise.all([get("trace"), get("own")]);
      viewer.load(recorded, new Set(goroutines));
    } catch (error) {
      toast(error.message);
    }
  }
  get("about").then(
    (about) => update(about.tracing),
    (error) => toast(error.message),
  );
  return {
    keys: (event) => viewer.onKey(event),
    restyle: () => viewer.draw(),
    destroy: () => viewer.destroy(),
  };
}

async function profile(kind, seconds, button) {
  const text = button.textContent;
  button.disabled = true;
  button.textContent = kind === "goroutine" ? "…" : `${seconds} s …`;
  try {
    const response = await fetch(addressOf("profile", { kind, seconds }));
    if (!response.ok) throw new Error((await response.json()).error);
    const link = h("a", {
      href: URL.createObjectURL(await response.blob()),
      download: `${kind}.pprof`,
    });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  } catch (error) {
    toast(error.message);
  }
  button.disabled = false;
  button.textContent = text;
}

const ROW = 18;
const RULER = 22;
const GUTTER = 150;
const TONES = { wait: "sleep", region: "channel", goroutine: "runnable", gc: "bad", task: "lock" };
const WAIT_TONES = [
  [/^(read|write|accept|connect|wait|receive)/, "io"],
  [/^(chan|select|shared)/, "channel"],
  [/^(mutex|rwmutex|semaphore|cond|waitgroup|errgroup|join)/, "lock"],
];

function toneOf({ cat, name }) {
  if (cat === "wait") for (const [pattern, tone] of WAIT_TONES) if (pattern.test(name)) return tone;
  return TONES[cat] ?? "other";
}

/** A timeline: a track for each goroutine, slices in it, arrows from who woke to who was woken. */
class Viewer {
  constructor() {
    this.canvas = h("canvas", { tabindex: "0", "aria-label": "Timeline", role: "application" });
    this.tip = h("div", { class: "tip", hidden: true });
    this.note = h(
      "p",
      { class: "soft" },
      "Record, let the program work, then show. Drag or ← → to move, wheel or + − to zoom, ↑ ↓ for more tracks; a click tells of a slice.",
    );
    this.detail = h("p", { class: "mono detail", role: "status" });
    this.element = h(
      "section",
      { class: "card timeline" },
      this.note,
      h("div", { class: "stage" }, this.canvas, this.tip),
      this.detail,
    );
    this.tracks = [];
    this.from = 0;
    this.to = 1;
    this.top = 0;
    this.canvas.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    this.canvas.addEventListener("pointerdown", (event) => this.onDown(event));
    this.canvas.addEventListener("pointermove", (event) => this.onMove(event));
    this.canvas.addEventListener("pointerup", () => {
      this.drag = undefined;
    });
    this.canvas.addEventListener("pointerleave", () => {
      this.tip.hidden = true;
    });
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.canvas.parentElement);
  }

  destroy() {
    this.observer.disconnect();
  }

  /** Without the tracks in `hidden`. */
  load({ traceEvents, otherData }, hidden) {
    const tracks = new Map();
    const track = (tid) => {
      let found = tracks.get(tid);
      if (found === undefined) {
        found = {
          tid,
          name: tid === 0 ? "poller, timers, GC" : `goroutine ${tid}`,
          slices: [],
          marks: [],
          rows: 1,
        };
        tracks.set(tid, found);
      }
      return found;
    };
    const arrows = new Map();
    let first = Infinity;
    let last = 0;
    for (const event of traceEvents) {
      if (hidden.has(event.tid)) continue;
      if (event.ph === "M") {
        if (event.name === "thread_name")
          track(event.tid).name = event.args.name.replace(/^goroutine /, "");
        continue;
      }
      first = Math.min(first, event.ts);
      last = Math.max(last, event.ts + (event.dur ?? 0));
      if (event.ph === "X")
        track(event.tid).slices.push({ ...event, tone: toneOf(event), end: event.ts + event.dur });
      else if (event.ph === "i") track(event.tid).marks.push(event);
      else if (event.ph === "s") arrows.set(event.id, { from: event.tid, ts: event.ts });
      else if (event.ph === "f" && arrows.has(event.id)) arrows.get(event.id).to = event.tid;
    }
    for (const each of tracks.values()) nest(each);
    this.tracks = [...tracks.values()].sort((a, b) => a.tid - b.tid);
    let y = 0;
    for (const each of this.tracks) {
      each.y = y;
      y += each.rows * ROW + 3;
    }
    this.height = y;
    this.byTid = tracks;
    this.arrows = [...arrows.values()].filter(({ to }) => to !== undefined);
    this.first = first === Infinity ? 0 : first;
    this.last = Math.max(last, this.first + 1);
    this.from = this.first;
    this.to = this.last;
    this.top = 0;
    this.chosen = undefined;
    this.note.hidden = true;
    const lost = otherData.lost > 0 ? `, ${count(otherData.lost)} older ones written over` : "";
    this.detail.textContent = `${count(otherData.recorded)} events on ${count(this.tracks.length)} tracks${lost}`;
    this.element.dataset.tracks = String(this.tracks.length);
    this.draw();
    this.canvas.focus({ preventScroll: true });
  }

  x(ts) {
    return GUTTER + ((ts - this.from) / (this.to - this.from)) * (this.width - GUTTER);
  }

  draw() {
    const { canvas } = this;
    const stage = canvas.parentElement;
    const ratio = devicePixelRatio;
    this.width = stage.clientWidth;
    this.tall = stage.clientHeight;
    canvas.width = this.width * ratio;
    canvas.height = this.tall * ratio;
    const c = canvas.getContext("2d");
    c.scale(ratio, ratio);
    c.font = "11px system-ui, sans-serif";
    c.textBaseline = "middle";
    const theme = {};
    for (const name of [
      "text",
      "soft",
      "faint",
      "line",
      "panel",
      "raised",
      "io",
      "channel",
      "lock",
      "sleep",
      "runnable",
      "other",
      "bad",
      "accent",
    ]) {
      theme[name] = color(name);
    }
    c.fillStyle = theme.panel;
    c.fillRect(0, 0, this.width, this.tall);
    if (this.tracks.length === 0) return;
    c.save();
    c.beginPath();
    c.rect(0, RULER, this.width, this.tall - RULER);
    c.clip();
    for (const track of this.tracks) {
      const y = track.y - this.top + RULER;
      if (y > this.tall || y + track.rows * ROW < RULER) continue;
      this.drawTrack(c, track, y, theme);
    }
    this.drawArrows(c, theme);
    for (const track of this.tracks) {
      const y = track.y - this.top + RULER;
      if (y > this.tall || y + track.rows * ROW < RULER) continue;
      c.fillStyle = theme.panel;
      c.fillRect(0, y - 1, GUTTER - 4, track.rows * ROW + 3);
      c.fillStyle = this.chosen?.tid === track.tid ? theme.accent : theme.soft;
      c.fillText(cut(c, track.name, GUTTER - 14), 6, y + ROW / 2);
      c.fillStyle = theme.line;
      c.fillRect(0, y + track.rows * ROW + 1, this.width, 0.5);
    }
    c.restore();
    this.drawRuler(c, theme);
  }

  drawTrack(c, { slices, marks }, y, theme) {
    let until = -1;
    for (const slice of slices) {
      if (slice.end < this.from || slice.ts > this.to) continue;
      const x = Math.max(GUTTER, this.x(slice.ts));
      const end = Math.min(this.width, this.x(slice.end));
      const width = Math.max(0.7, end - x);
      // What falls on the pixel of the one before is not drawn again.
      if (slice.depth > 0 && end - until < 0.4) continue;
      if (slice.depth > 0) until = end;
      const top = y + slice.depth * ROW + 1;
      c.globalAlpha = slice.cat === "goroutine" ? 0.22 : 0.85;
      c.fillStyle = theme[slice.tone];
      c.fillRect(x, top, width, ROW - 2);
      c.globalAlpha = 1;
      if (slice === this.chosen) {
        c.strokeStyle = theme.accent;
        c.lineWidth = 2;
        c.strokeRect(x, top, width, ROW - 2);
      }
      if (width > 34) {
        c.fillStyle = slice.cat === "goroutine" ? theme.text : theme.panel;
        c.fillText(cut(c, slice.name, width - 8), x + 4, top + ROW / 2 - 1);
      }
    }
    let last = -1;
    c.fillStyle = theme.faint;
    for (const { ts } of marks) {
      if (ts < this.from || ts > this.to) continue;
      const x = this.x(ts);
      if (x - last < 1.5) continue;
      last = x;
      c.fillRect(x, y + 3, 1, ROW - 6);
    }
  }

  drawArrows(c, theme) {
    const only = this.chosen?.tid;
    const seen = this.arrows.filter(({ ts, from, to }) => {
      return (
        ts >= this.from && ts <= this.to && (only === undefined || from === only || to === only)
      );
    });
    // Too many of them hide what they are to show.
    if (seen.length > 600) return;
    c.strokeStyle = theme.accent;
    c.fillStyle = theme.accent;
    c.lineWidth = 1;
    c.globalAlpha = 0.75;
    for (const { ts, from, to } of seen) {
      const x = this.x(ts);
      const a = this.byTid.get(from).y - this.top + RULER + ROW / 2;
      const b = this.byTid.get(to).y - this.top + RULER + ROW / 2;
      const side = a < b ? -4 : 4;
      c.beginPath();
      c.moveTo(x, a);
      c.lineTo(x, b);
      c.stroke();
      c.beginPath();
      c.moveTo(x, b);
      c.lineTo(x - 3, b + side);
      c.lineTo(x + 3, b + side);
      c.fill();
    }
    c.globalAlpha = 1;
  }

  drawRuler(c, theme) {
    c.fillStyle = theme.raised;
    c.fillRect(0, 0, this.width, RULER);
    c.fillStyle = theme.faint;
    const span = this.to - this.from;
    const rough = (span * 90) / Math.max(1, this.width - GUTTER);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough) ?? rough;
    for (
      let ts = Math.ceil((this.from - this.first) / step) * step;
      ts <= this.to - this.first;
      ts += step
    ) {
      const x = this.x(ts + this.first);
      if (x < GUTTER) continue;
      c.fillRect(x, RULER - 5, 1, 5);
      c.fillText(time(ts), x + 3, RULER / 2);
    }
    c.fillText(`${time(span)} in view`, 6, RULER / 2);
  }

  // ---- moving about

  zoom(factor, at = (this.from + this.to) / 2) {
    const span = Math.min(this.last - this.first, Math.max(5, (this.to - this.from) * factor));
    const share = (at - this.from) / (this.to - this.from);
    this.place(at - span * share, span);
  }

  place(from, span = this.to - this.from) {
    this.from = Math.max(this.first, Math.min(this.last - span, from));
    this.to = this.from + span;
    this.draw();
  }

  scroll(by) {
    this.top = Math.max(0, Math.min((this.height ?? 0) - this.tall + RULER + 8, this.top + by));
    if (this.top < 0) this.top = 0;
    this.draw();
  }

  onKey({ key, target }) {
    if (this.tracks.length === 0 || target.tagName === "SELECT") return false;
    const span = this.to - this.from;
    if (key === "+" || key === "=" || key === "w") this.zoom(0.6);
    else if (key === "-" || key === "s") this.zoom(1.6);
    else if (key === "ArrowLeft" || key === "a") this.place(this.from - span / 5);
    else if (key === "ArrowRight" || key === "d") this.place(this.from + span / 5);
    else if (key === "ArrowUp") this.scroll(-3 * ROW);
    else if (key === "ArrowDown") this.scroll(3 * ROW);
    else if (key === "0") this.place(this.first, this.last - this.first);
    else return false;
    return true;
  }

  onWheel(event) {
    if (this.tracks.length === 0) return;
    event.preventDefault();
    if (event.shiftKey) this.scroll(event.deltaY);
    else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      this.place(this.from + (event.deltaX / this.width) * (this.to - this.from));
    } else this.zoom(event.deltaY > 0 ? 1.2 : 1 / 1.2, this.at(event).ts);
  }

  at({ offsetX, offsetY }) {
    const ts = this.from + ((offsetX - GUTTER) / (this.width - GUTTER)) * (this.to - this.from);
    const y = offsetY - RULER + this.top;
    const track = this.tracks.find((each) => y >= each.y && y < each.y + each.rows * ROW);
    const depth = track === undefined ? -1 : Math.floor((y - track.y) / ROW);
    const near = ((this.to - this.from) / this.width) * 3;
    const slices =
      track?.slices.filter((each) => each.ts - near <= ts && each.end + near >= ts) ?? [];
    return { ts, track, slice: slices.find((each) => each.depth === depth) ?? slices.at(-1) };
  }

  onDown(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.drag = { x: event.offsetX, y: event.offsetY, from: this.from, top: this.top };
    const { slice, track } = this.at(event);
    this.chosen = slice;
    if (slice !== undefined) {
      const args = Object.entries(slice.args ?? {}).map(([name, value]) => `${name}=${value}`);
      this.detail.textContent = `${track.name} · ${slice.name} · ${time(slice.dur)} from ${time(slice.ts - this.first)} ${args.join(" ")}`;
    }
    this.draw();
  }

  onMove(event) {
    if (this.tracks.length === 0) return;
    const { drag } = this;
    if (drag !== undefined && event.buttons === 1) {
      this.top = Math.max(0, drag.top - (event.offsetY - drag.y));
      this.place(
        drag.from - ((event.offsetX - drag.x) / (this.width - GUTTER)) * (this.to - this.from),
      );
      return;
    }
    const { slice } = this.at(event);
    this.tip.hidden = slice === undefined;
    if (slice === undefined) return;
    this.tip.textContent = `${slice.name} · ${time(slice.dur)}`;
    this.tip.style.left = `${Math.min(this.width - 180, event.offsetX + 12)}px`;
    this.tip.style.top = `${event.offsetY + 14}px`;
  }
}

/** How deep each slice lies in those around it. */
function nest(track) {
  track.slices.sort((a, b) => a.ts - b.ts || b.end - a.end);
  const open = [];
  for (const slice of track.slices) {
    while (open.length > 0 && open.at(-1).end <= slice.ts) open.pop();
    slice.depth = open.length;
    open.push(slice);
    track.rows = Math.max(track.rows, open.length);
  }
}

function cut(c, text, width) {
  if (c.measureText(text).width <= width) return text;
  let length = Math.max(
    0,
    Math.floor((text.length * width) / Math.max(1, c.measureText(text).width)) - 1,
  );
  while (length > 0 && c.measureText(`${text.slice(0, length)}…`).width > width) length--;
  return length === 0 ? "" : `${text.slice(0, length)}…`;
}

/** Of µs. */
function time(us) {
  if (us < 1000) return `${Math.round(us)} µs`;
  if (us < 1_000_000) return `${(us / 1000).toFixed(us < 100_000 ? 1 : 0)} ms`;
  return `${(us / 1_000_000).toFixed(2)} s`;
}
