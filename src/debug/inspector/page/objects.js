// objects.js: channels and locks with who waits on both sides, and who waits for whom.
import { count, get, h, lasting, svg, toast } from "./dom.js";
import { isPaused } from "./live.js";

function people(side) {
  if (side === undefined || side.count === 0) return h("span", { class: "soft" }, "–");
  const named = side.named
    .slice(0, 3)
    .map(({ id, name }) => [h("a", { href: `#/goroutines/${id}` }, `${id} ${name}`), " "]);
  const more = side.count - Math.min(3, side.named.length);
  return [
    h("b", null, count(side.count)),
    " · ",
    named,
    more > 0 ? `+${count(more)}` : "",
    h("span", { class: "soft" }, lasting(side.oldest)),
  ];
}

function filled(row) {
  if (row.capacity === undefined)
    return row.held > 0 ? h("span", { class: "tag lock" }, "held") : "free";
  if (row.kind === "waitgroup") return `${row.capacity} left`;
  if (row.capacity === 0) return h("span", { class: "soft" }, "unbuffered");
  const meter = h("meter", { value: row.length, max: row.capacity, high: row.capacity * 0.9 });
  return [meter, ` ${count(row.length)}/${count(row.capacity)}`];
}

function holders(row) {
  if (row.held === 0) return h("span", { class: "soft" }, "–");
  return row.holders
    .slice(0, 3)
    .map(({ id, name, tag, ended }) => [
      id === 0
        ? name
        : h("a", { href: `#/goroutines/${id}`, class: ended ? "bad" : "" }, `${id} ${name}`),
      tag === "read" ? " (reads) " : " ",
      ended ? h("span", { class: "bad" }, "ended ") : "",
    ]);
}

const HEAD = [
  "Object",
  "Fill or state",
  "Senders wait",
  "Receivers, others wait",
  "Held by",
  "Used",
  "Waits",
  "Waited",
];

export function objects(place) {
  const rows = h("tbody");
  const empty = h(
    "p",
    { class: "soft" },
    "No channel or lock has been used since the inspector came.",
  );
  const table = h(
    "table",
    null,
    h(
      "thead",
      null,
      h(
        "tr",
        null,
        HEAD.map((label) => h("th", null, label)),
      ),
    ),
    rows,
  );
  const drawing = h("div", { class: "scroll graph" });
  place.append(
    h("section", { class: "card" }, h("h2", null, "Who waits for whom"), drawing),
    h(
      "section",
      { class: "card scroll" },
      h("h2", null, "Channels and locks, those most waited for first"),
      table,
      empty,
    ),
  );
  let timer;
  let over = false;
  const load = async () => {
    const began = performance.now();
    try {
      const answer = await get("objects");
      if (over) return;
      empty.hidden = answer.rows.length > 0;
      rows.replaceChildren(
        ...answer.rows.map((row) =>
          h(
            "tr",
            row.verdict === undefined ? null : { class: "warned", title: row.verdict },
            h(
              "td",
              null,
              h("b", null, row.name),
              row.verdict ? h("span", { class: "bad" }, " ⚠") : "",
            ),
            h("td", null, filled(row)),
            h("td", null, row.isChan ? people(row.senders) : ""),
            h("td", null, people(row.waiters)),
            h("td", null, row.isChan ? "" : holders(row)),
            h("td", null, count(row.uses)),
            h("td", null, count(row.waits)),
            h("td", null, lasting(row.waited)),
          ),
        ),
      );
      drawing.replaceChildren(drawGraph(answer.graph));
    } catch (error) {
      toast(error.message);
    }
    const took = performance.now() - began;
    timer = setTimeout(() => (isPaused() ? wait() : load()), Math.max(2000, took * 50));
  };
  const wait = () => {
    timer = setTimeout(() => (isPaused() ? wait() : load()), 1000);
  };
  void load();
  return {
    destroy: () => {
      over = true;
      clearTimeout(timer);
    },
  };
}

const WIDTH = 190;
const HEIGHT = 34;
const GAP_X = 130;
const GAP_Y = 18;

/** In layers: whoever is waited for stands to the right of who waits; a cycle stands in rows of its own. */
function layersOf({ nodes, edges }) {
  const layer = new Map(nodes.map(({ id }) => [id, 0]));
  // As many rounds as there are nodes are enough without cycles; with them the rest stays as it is.
  for (let round = 0; round < nodes.length; round++) {
    let changed = false;
    for (const { from, to } of edges) {
      const next = layer.get(from) + 1;
      if (from !== to && layer.get(to) < next && next < nodes.length && next < 8) {
        layer.set(to, next);
        changed = true;
      }
    }
    if (!changed) break;
  }
  return layer;
}

function drawGraph(graph) {
  if (graph.edges.length === 0)
    return h("p", { class: "soft" }, "Nobody waits for anybody who is known.");
  const inCycle = new Map();
  graph.cycles.forEach((cycle, i) => {
    for (const id of cycle) inCycle.set(id, i);
  });
  const position = new Map();
  let top = 8;
  // Cycles first, each on a ring.
  graph.cycles.forEach((cycle) => {
    const radius = Math.max(70, cycle.length * 30);
    cycle.forEach((id, i) => {
      const angle = Math.PI + (2 * Math.PI * i) / cycle.length;
      const x = 20 + radius * 1.7 + Math.cos(angle) * radius * 1.7;
      position.set(id, { x, y: top + radius + Math.sin(angle) * radius });
    });
    top += 2 * radius + HEIGHT + 28;
  });
  const others = {
    nodes: graph.nodes.filter(({ id }) => !inCycle.has(id)),
    edges: graph.edges.filter(({ from, to }) => !inCycle.has(from) && !inCycle.has(to)),
  };
  const layer = layersOf(others);
  const filled = new Map();
  for (const { id } of others.nodes) {
    const column = layer.get(id);
    const row = filled.get(column) ?? 0;
    filled.set(column, row + 1);
    position.set(id, { x: 20 + column * (WIDTH + GAP_X), y: top + row * (HEIGHT + GAP_Y) });
  }
  const width = Math.max(...[...position.values()].map(({ x }) => x)) + WIDTH + 20;
  const height = Math.max(...[...position.values()].map(({ y }) => y)) + HEIGHT + 12;
  const picture = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, class: "waits" });
  const arrow = (id, shape) =>
    svg(
      "marker",
      { id, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" },
      svg("path", { d: "M0 0 L8 4 L0 8 z", class: shape }),
    );
  picture.append(svg("defs", null, arrow("arrow", "head"), arrow("arrow-cycle", "head cycle")));
  for (const edge of graph.edges) picture.append(drawEdge(edge, position));
  for (const node of graph.nodes) picture.append(drawNode(node, position.get(node.id)));
  const more = graph.more > 0 ? h("p", { class: "soft" }, `and ${graph.more} more`) : null;
  return h("div", null, picture, more);
}

/** Where a line from a box's middle towards another leaves the box. */
function border(from, to) {
  const a = { x: from.x + WIDTH / 2, y: from.y + HEIGHT / 2 };
  const dx = to.x + WIDTH / 2 - a.x;
  const dy = to.y + HEIGHT / 2 - a.y;
  const scale = Math.min(
    dx === 0 ? Infinity : WIDTH / 2 / Math.abs(dx),
    dy === 0 ? Infinity : HEIGHT / 2 / Math.abs(dy),
  );
  return { x: a.x + dx * scale, y: a.y + dy * scale };
}

function drawEdge({ from, to, label, cycle }, position) {
  const shape = cycle ? "edge cycle" : "edge";
  const end = cycle ? "url(#arrow-cycle)" : "url(#arrow)";
  const a = position.get(from);
  if (from === to) {
    const x = a.x + WIDTH;
    const y = a.y + HEIGHT / 2;
    const d = `M${x} ${y - 8} C${x + 50} ${y - 30} ${x + 50} ${y + 30} ${x} ${y + 8}`;
    return svg(
      "g",
      null,
      svg("path", { d, class: shape, "marker-end": end }),
      svg("text", { x: x + 42, y: y + 4 }, label),
    );
  }
  const b = position.get(to);
  const p = border(a, b);
  const q = border(b, a);
  const mid = { x: (p.x + q.x) / 2, y: (p.y + q.y) / 2 - 5 };
  return svg(
    "g",
    null,
    svg("path", { d: `M${p.x} ${p.y} L${q.x} ${q.y}`, class: shape, "marker-end": end }),
    svg("text", { x: mid.x, y: mid.y, "text-anchor": "middle" }, label),
  );
}

function drawNode({ text, goroutine, ended, cycle }, { x, y }) {
  const shape = `node${cycle ? " cycle" : ""}${ended ? " ended" : ""}`;
  const short = text.length > 26 ? `${text.slice(0, 25)}…` : text;
  const box = svg(
    "g",
    { class: shape, transform: `translate(${x} ${y})` },
    svg("rect", { width: WIDTH, height: HEIGHT, rx: 6 }),
    svg("text", { x: WIDTH / 2, y: 21, "text-anchor": "middle" }, ended ? `${short} †` : short),
    svg("title", null, ended ? `${text} has ended` : text),
  );
  return ended ? box : svg("a", { href: `#/goroutines/${goroutine}` }, box);
}
