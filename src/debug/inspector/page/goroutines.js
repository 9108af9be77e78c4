// goroutines.js: the table of goroutines, and one of them in detail.
import { openDrawer } from "./app.js";
import { get, h, lasting, place as shortPlace, toast } from "./dom.js";
import { filterField, Grid } from "./grid.js";

function tag(category, text) {
  return h("span", { class: `tag ${category}` }, text);
}

function doing(row) {
  if (row.state === "runnable") return tag("runnable", "runnable");
  if (row.kind !== undefined) return tag(row.category, row.kind);
  return tag("other", row.state === "unknown" ? "unknown" : "other promise");
}

const COLUMNS = [
  {
    name: "id",
    label: "#",
    width: "76px",
    phone: "44px",
    right: true,
    cell: (row) => (row.count === undefined ? row.id : `${row.count} ×`),
  },
  {
    name: "name",
    label: "Name",
    width: "minmax(90px, 1fr)",
    phone: "1fr",
    cell: (row) => h("b", null, row.name),
  },
  { name: "kind", label: "Waits for", width: "134px", phone: "118px", cell: doing },
  {
    name: "object",
    label: "On",
    width: "minmax(80px, 2fr)",
    cell: (row) =>
      row.verdict === undefined
        ? row.object
        : [h("span", { class: "bad", title: row.verdict }, "⚠ "), row.object],
  },
  {
    name: "since",
    label: "Since",
    width: "74px",
    phone: "58px",
    right: true,
    cell: (row) => lasting(row.since),
  },
  {
    name: "at",
    label: "Where",
    width: "minmax(80px, 2fr)",
    sort: false,
    cell: (row) => h("span", { class: "mono", title: row.stack?.[0] }, shortPlace(row.stack?.[0])),
  },
  {
    name: "origin",
    extra: true,
    label: "Started at",
    width: "minmax(110px, 1.4fr)",
    cell: (row) => h("span", { class: "mono", title: row.origin }, shortPlace(row.origin)),
  },
  {
    name: "parent",
    extra: true,
    label: "By",
    width: "minmax(70px, 0.8fr)",
    cell: (row) => row.parent,
  },
  {
    name: "labels",
    extra: true,
    label: "Labels",
    width: "minmax(60px, 0.8fr)",
    cell: (row) => row.labels,
  },
];

function check(label, onchange) {
  return h("label", { class: "check" }, h("input", { type: "checkbox", onchange }), label);
}

export function goroutines(place) {
  const options = { group: false, own: false };
  const grid = new Grid({
    columns: COLUMNS,
    label: "Goroutines",
    sort: { name: "id", desc: false },
    empty: "No goroutine matches",
    fetch: (query) => get("goroutines", { ...query, ...options }),
    open: (row) => {
      location.hash = `#/goroutines/${row.id}`;
    },
  });
  const set = (name) => (event) => {
    options[name] = event.target.checked;
    grid.reset();
  };
  place.append(
    h(
      "div",
      { class: "bar" },
      filterField(grid, "Filter: name, kind:read, since>60000, -echo …  ( / )"),
      check("alike together", set("group")),
      check("the inspector's", set("own")),
      grid.status,
    ),
    grid.element,
  );
  grid.follow();
  return { show: (id) => void showGoroutine(id), destroy: () => grid.destroy() };
}

function source({ text, source: lines }) {
  const shown = h("li", null, h("div", { class: "mono frame" }, text));
  if (lines === undefined) return shown;
  const code = h("pre", { class: "source" });
  lines.lines.forEach((line, i) => {
    const number = lines.first + i;
    const content = [h("i", null, String(number).padStart(5)), ` ${line}`];
    code.append(number === lines.line ? h("mark", null, content) : h("span", null, content));
  });
  shown.append(code);
  return shown;
}

function link({ id, name, kind, live = true, ended = false }) {
  const text = `${id} ${name}${kind === undefined ? "" : ` · ${kind}`}`;
  return live && !ended
    ? h("a", { href: `#/goroutines/${id}` }, text)
    : h("span", null, `${text} (ended)`);
}

function part(title, ...content) {
  return [h("h3", null, title), ...content];
}

export async function showGoroutine(id) {
  try {
    const g = await get("goroutine", { id });
    const waits = g.waits.map((wait) => [
      h(
        "p",
        null,
        tag(g.category, wait.kind),
        ` for ${lasting(wait.since)}`,
        wait.object === "" ? "" : ` on ${wait.object}`,
      ),
      wait.verdict === undefined ? null : h("p", { class: "bad" }, `⚠ ${wait.verdict}`),
      wait.needs.length === 0
        ? null
        : h(
            "p",
            null,
            "needs ",
            wait.needs.map((each) => [link(each), " "]),
          ),
      h("ol", { class: "frames" }, wait.stack.map(source)),
    ]);
    const labels = Object.entries(g.labels).map(([name, value]) =>
      h("code", null, `${name}=${value} `),
    );
    openDrawer(
      `goroutine ${g.id} [${g.name}]`,
      g.own ? h("p", { class: "soft" }, "The inspector's own") : null,
      waits.length === 0
        ? h("p", null, doing(g), " It awaits a promise that is not Coronet's.")
        : waits,
      part(
        "Started",
        h(
          "p",
          null,
          `${g.age === undefined ? "at a time not known" : `${lasting(g.age)} ago`}`,
          g.parent ? [" by ", link(g.parent)] : "",
        ),
        h("ol", { class: "frames" }, g.origins.map(source)),
      ),
      labels.length === 0 ? null : part("Labels", h("p", null, labels)),
      g.children.length === 0
        ? null
        : part(
            "Has started",
            h(
              "ul",
              { class: "links" },
              g.children.map((each) => h("li", null, link(each))),
            ),
          ),
      g.conns.length === 0
        ? null
        : part(
            "Connections",
            h(
              "ul",
              { class: "links" },
              g.conns.map((c) =>
                h(
                  "li",
                  null,
                  h(
                    "a",
                    { href: `#/connections/${c.id}` },
                    `${c.network} ${c.local} → ${c.remote}`,
                  ),
                ),
              ),
            ),
          ),
    );
  } catch (error) {
    toast(error.message);
  }
}
