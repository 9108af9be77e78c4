// poller.js: how the poller works, drawn as it works.

import { Bars } from "./charts.js";
import { compact, count, h, lasting, svg } from "./dom.js";
import { histogram, isPaused, part, ticks } from "./live.js";

/** The parts: place, title, what it is, and its number of now. */
const PARTS = {
  fds: {
    box: [20, 60, 150, 150],
    title: "sockets",
    number: (t) => count(t.open),
    unit: "open",
    text: "Every connection and listener is a file descriptor in non-blocking mode, with a poll descriptor: one place for a reader (rg), one for a writer (wg). An operation tries its system call at once; only when the kernel has nothing (EAGAIN, or a short read before) its goroutine parks there. In steady state nothing is registered or unregistered: epoll_ctl is called once in the life of a descriptor.",
  },
  epoll: {
    box: [245, 60, 150, 150],
    title: "epoll",
    number: (t, ms) => compact(Math.round((t.polls * 1000) / ms)),
    unit: "polls/s",
    text: "All descriptors stand in one epoll set of the kernel, edge-triggered: the kernel says once that something has come. Node's loop watches the epoll descriptor as one handle; when it is readable, the addon asks with epoll_wait(0) for at most 1,024 events, and calls JavaScript once for the whole batch.",
  },
  ready: {
    box: [470, 60, 150, 150],
    title: "ready list",
    number: (t) => (t.polls === 0 ? "0" : compact(sum(t.pollBatch) / Math.max(1, t.polls))),
    unit: "woken/poll",
    text: "Each event carries slot and sequence number of its poll descriptor. A stale one, of a descriptor that has been closed since, is dropped. The others mark their side ready and put whoever is parked there on this list. Only after the whole walk each operation is tried again: recv, send or accept.",
  },
  queue: {
    box: [470, 275, 150, 110],
    title: "run queue",
    number: (t) => count(t.queue),
    unit: "now",
    text: "Every operation that completes at once pays from the turn's budget: 1 and one more for each KiB. Who finds it used up stands in the run queue until the next turn of Node's loop, so that neither a firehose nor two goroutines that wake each other can starve the poller and the timers.",
  },
  goroutines: {
    box: [695, 60, 165, 150],
    title: "goroutines",
    number: (t) => count(t.goroutines),
    unit: "live",
    text: "A goroutine is an async function. To wake it is to call the resolver of the promise that it awaits: it goes on in the microtask queue, after the batch, handles what has come, and parks again. Then the next round begins, at most eight in one turn of the loop.",
  },
  timers: {
    box: [245, 275, 150, 110],
    title: "timer heap",
    number: (t) => count(t.timers),
    unit: "armed",
    text: "Sleeps, deadlines and timeouts stand in one heap over one timer of Node's. To move a deadline is a store: the timer looks at the state of now when it fires, and arms itself for the rest.",
  },
};

/** Where goroutines, events and bytes travel; how often, from a tick. */
const WAYS = [
  ["M170 135 H245", (t) => sum(t.pollBatch), "io"],
  ["M395 135 H470", (t) => sum(t.pollBatch), "io"],
  ["M620 135 H695", (t) => sum(t.pollBatch), "io"],
  ["M777 210 V330 H620", (t) => t.exhausted + sum(t.queueBatch), "runnable"],
  ["M545 275 V246 H735 V210", (t) => sum(t.queueBatch), "runnable"],
  ["M395 330 H432 V228 H660 V165 H695", (t) => t.timersFired, "lock"],
  ["M777 60 V26 H95 V60", (t) => sum(t.pollBatch), "accent"],
];

function sum(hit = []) {
  // Without the buckets' widths it is the least that they can have been.
  let all = 0;
  for (let i = 0; i < hit.length; i += 2)
    all += hit[i + 1] * (hit[i] === 0 ? 0 : 2 ** (hit[i] - 1));
  return all;
}

const MOST_DOTS = 8;

export function poller(place) {
  const picture = svg("svg", { viewBox: "0 0 880 400", class: "machine", role: "group" });
  picture.append(
    svg(
      "defs",
      null,
      svg(
        "marker",
        {
          id: "tip",
          viewBox: "0 0 8 8",
          refX: 7,
          refY: 4,
          markerWidth: 6,
          markerHeight: 6,
          orient: "auto",
        },
        svg("path", { d: "M0 0 L8 4 L0 8 z", class: "tip" }),
      ),
    ),
  );
  const ways = WAYS.map(([d, value, tone]) => {
    const path = svg("path", { d, class: `way ${tone}`, "marker-end": "url(#tip)" });
    const dots = Array.from({ length: MOST_DOTS }, () =>
      svg("circle", { r: 3.5, class: `dot ${tone}`, cx: -9, cy: -9 }),
    );
    picture.append(path);
    return { path, dots, value, speed: 0 };
  });
  picture.append(
    svg(
      "text",
      { x: 436, y: 20, class: "note", "text-anchor": "middle" },
      "they read, answer, and park again",
    ),
    svg("text", { x: 786, y: 262, class: "note" }, "budget used up"),
  );
  const numbers = {};
  const info = h("div", { class: "card info", role: "status" });
  let chosen = "epoll";
  const choose = (name) => {
    chosen = name;
    const { title, text } = PARTS[name];
    info.replaceChildren(h("h2", null, title), h("p", null, text), facts());
    for (const [each, { group }] of Object.entries(numbers)) {
      group.classList.toggle("chosen", each === name);
      group.setAttribute("aria-pressed", String(each === name));
    }
  };
  for (const [name, { box, title, unit }] of Object.entries(PARTS)) {
    const [x, y, width, height] = box;
    const value = svg(
      "text",
      { x: x + width / 2, y: y + height / 2 + 6, class: "value", "text-anchor": "middle" },
      "–",
    );
    const group = svg(
      "g",
      {
        class: `part ${name}`,
        tabindex: 0,
        role: "button",
        "aria-label": `${title}: explain`,
        onclick: () => choose(name),
        onkeydown: (event) => {
          if (event.key !== "Enter" && event.key !== " ") return;
          event.preventDefault();
          choose(name);
        },
      },
      svg("rect", { x, y, width, height, rx: 10 }),
      svg("text", { x: x + width / 2, y: y + 26, class: "title", "text-anchor": "middle" }, title),
      value,
      svg(
        "text",
        { x: x + width / 2, y: y + height / 2 + 26, class: "unit", "text-anchor": "middle" },
        unit,
      ),
    );
    numbers[name] = { value, group };
    picture.append(group);
  }
  for (const { dots } of ways) picture.append(...dots);
  const bars = new Bars({ title: "Goroutines woken per poll", unit: "goroutines", color: "io" });
  const delay = new Bars({ title: "Wait in the run queue", unit: "µs", color: "runnable" });
  const late = new Bars({ title: "Timers late by", unit: "µs", color: "lock" });
  place.append(
    h("section", { class: "card scroll" }, picture),
    info,
    h("div", { class: "cards three" }, bars.element, delay.element, late.element),
  );

  function facts() {
    const tick = ticks.at(-1);
    if (tick === undefined) return null;
    const own = part(tick);
    const perSecond = (n) => compact(Math.round(((n ?? 0) * 1000) / tick.ms));
    const all = {
      fds: [
        ["opened/s", perSecond(own.opened)],
        ["goroutines parked on I/O and timers", count(own.parked)],
      ],
      epoll: [
        ["polls/s", perSecond(own.polls)],
        ["stale events/s", count(own.stale)],
      ],
      ready: [["woken/s", perSecond(own.woken)]],
      queue: [
        ["turns/s", perSecond(own.queueTurns)],
        ["budget used up/s", perSecond(own.exhausted)],
      ],
      goroutines: [
        ["started/s", perSecond(own.started)],
        ["held the thread too long", count(own.longHolds)],
      ],
      timers: [
        ["fired/s", perSecond(own.timersFired)],
        ["next in", own.timer === undefined ? "–" : lasting(own.timer)],
      ],
    }[chosen];
    return h(
      "dl",
      { class: "facts" },
      all.map(([label, value]) => [h("dt", null, label), h("dd", null, value)]),
    );
  }

  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let frame;
  let phase = 0;
  let last = performance.now();
  const move = (now) => {
    phase += Math.min(100, now - last);
    last = now;
    for (const { path, dots, speed } of ways) {
      const length = path.getTotalLength();
      dots.forEach((dot, i) => {
        if (i >= speed || isPaused() || still.matches) {
          dot.setAttribute("cx", -9);
          return;
        }
        const at = (phase / 1400 + i / speed) % 1;
        const { x, y } = path.getPointAtLength(at * length);
        dot.setAttribute("cx", x);
        dot.setAttribute("cy", y);
      });
    }
    frame = requestAnimationFrame(move);
  };
  frame = requestAnimationFrame(move);
  const live = (tick) => {
    const own = part(tick);
    for (const [name, { number }] of Object.entries(PARTS))
      numbers[name].value.textContent = own.pid === undefined ? "–" : number(own, tick.ms);
    for (const way of ways) {
      const perSecond = own.pid === undefined ? 0 : (way.value(own) * 1000) / tick.ms;
      // More dots for more traffic, as its logarithm.
      way.speed =
        perSecond <= 0 ? 0 : Math.min(MOST_DOTS, 1 + Math.round(Math.log10(1 + perSecond) * 1.6));
    }
    bars.update(histogram("pollBatch", part));
    delay.update(histogram("queueDelay", part));
    late.update(histogram("lateness", part));
    choose(chosen);
  };
  choose(chosen);
  if (ticks.length > 0) live(ticks.at(-1));
  return { live, destroy: () => cancelAnimationFrame(frame) };
}
