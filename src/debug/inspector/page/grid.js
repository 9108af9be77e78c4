// grid.js: a table whose rows stand on the server: only those that are seen are asked for and drawn.
import { count, h, toast } from "./dom.js";
import { isPaused } from "./live.js";

/** Classes of a cell: which widths of the window it is seen at. */
function shapeOf({ right, phone, extra }) {
  return `${right ? "right" : ""} ${phone ? "" : "wide"} ${extra ? "extra" : ""}`;
}

const ROW = 28;
const CHUNK = 100;

/**
 * columns: [{ name, label, width, cell(row), sort?, phone?, right? }]; fetch(query) gives the server's answer.
 */
export class Grid {
  constructor({ columns, fetch, open, key, label, sort, empty = "Nothing here" }) {
    Object.assign(this, { columns, fetch, open, key, empty });
    this.query = { filter: "", sort: sort?.name, desc: sort?.desc ?? false };
    this.chunks = new Map();
    this.matched = 0;
    this.selected = -1;
    this.generation = 0;
    this.head = h("div", { class: "row head", role: "row" });
    this.space = h("div", { class: "space" });
    this.body = h(
      "div",
      {
        class: "body",
        tabindex: "0",
        role: "grid",
        "aria-label": label,
        onscroll: () => this.draw(),
        onkeydown: (event) => this.onKey(event),
      },
      this.space,
    );
    this.status = h("span", { class: "soft", role: "status" });
    this.element = h("div", { class: "grid card" }, this.head, this.body);
    this.element.style.setProperty("--columns", columns.map(({ width }) => width).join(" "));
    const middle = columns.filter(({ extra }) => !extra).map(({ width }) => width);
    this.element.style.setProperty("--middle-columns", middle.join(" "));
    const narrow = columns.filter(({ phone }) => phone).map(({ phone }) => phone);
    this.element.style.setProperty("--phone-columns", narrow.join(" "));
    this.drawHead();
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.body);
  }

  drawHead() {
    const { sort, desc } = this.query;
    this.head.replaceChildren(
      ...this.columns.map((column) => {
        const active = column.name === sort;
        const arrow = active ? (desc ? " ▾" : " ▴") : "";
        const shape = shapeOf(column);
        const state = active ? (desc ? "descending" : "ascending") : "none";
        return column.sort === false
          ? h("div", { class: shape, role: "columnheader" }, column.label)
          : h(
              "div",
              { class: shape, role: "columnheader", "aria-sort": state },
              h(
                "button",
                { type: "button", onclick: () => this.sortBy(column) },
                column.label,
                arrow,
              ),
            );
      }),
    );
  }

  sortBy({ name, right }) {
    const { query } = this;
    query.desc = query.sort === name ? !query.desc : right === true;
    query.sort = name;
    this.drawHead();
    this.reset();
  }

  setFilter(filter) {
    this.query.filter = filter;
    this.reset();
  }

  /** Other rows: begins at the top. */
  reset() {
    this.body.scrollTop = 0;
    this.selected = -1;
    void this.refresh();
  }

  /** Asks again for what is seen. */
  async refresh() {
    this.generation++;
    this.asked = new Map();
    const first = this.firstSeen();
    await this.load(Math.floor(first / CHUNK), true);
    this.draw();
  }

  firstSeen() {
    return Math.floor(this.body.scrollTop / ROW);
  }

  async load(chunk, anew = false) {
    const { generation } = this;
    if (this.asked?.has(chunk)) return;
    this.asked ??= new Map();
    this.asked.set(chunk, true);
    const began = performance.now();
    try {
      const answer = await this.fetch({ ...this.query, offset: chunk * CHUNK, limit: CHUNK });
      if (generation !== this.generation) return;
      if (anew) this.chunks.clear();
      this.chunks.set(chunk, answer.rows);
      this.matched = answer.matched;
      this.took = performance.now() - began;
      const all = answer.matched === answer.total ? "" : ` of ${count(answer.total)}`;
      this.status.textContent = `${count(answer.matched)}${all}`;
      this.element.dataset.took = this.took.toFixed(1);
      this.onLoad?.(answer);
      this.draw();
    } catch (error) {
      toast(error.message);
    }
  }

  row(at) {
    return this.chunks.get(Math.floor(at / CHUNK))?.[at % CHUNK];
  }

  draw() {
    const { space, body, matched } = this;
    space.style.height = `${Math.max(1, matched) * ROW}px`;
    const first = this.firstSeen();
    const last = Math.min(matched, first + Math.ceil(body.clientHeight / ROW) + 2);
    const rows = [];
    for (let at = first; at < last; at++) {
      const row = this.row(at);
      if (row === undefined) void this.load(Math.floor(at / CHUNK));
      rows.push(this.drawRow(at, row));
    }
    if (matched === 0) rows.push(h("div", { class: "empty" }, this.empty));
    space.replaceChildren(...rows);
    this.element.dataset.drawn = String(this.matched);
  }

  drawRow(at, row) {
    const element = h(
      "div",
      {
        class: at === this.selected ? "row selected" : "row",
        role: "row",
        "aria-rowindex": at + 1,
        onclick: () => {
          this.selected = at;
          this.draw();
          if (row !== undefined) this.open?.(row);
        },
      },
      row === undefined
        ? h("div", { class: "soft" }, "…")
        : this.columns.map((column) => {
            const shape = shapeOf(column);
            return h("div", { class: shape, role: "gridcell" }, column.cell(row));
          }),
    );
    element.style.top = `${at * ROW}px`;
    return element;
  }

  onKey(event) {
    const page = Math.max(1, Math.floor(this.body.clientHeight / ROW) - 1);
    const steps = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -Infinity,
      End: Infinity,
    };
    if (event.key === "Enter" && this.row(this.selected) !== undefined) {
      this.open?.(this.row(this.selected));
      event.preventDefault();
      return;
    }
    const step = steps[event.key];
    if (step === undefined || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.selected = Math.max(0, Math.min(this.matched - 1, this.selected + step));
    const top = this.selected * ROW;
    const { body } = this;
    if (top < body.scrollTop) body.scrollTop = top;
    else if (top + ROW > body.scrollTop + body.clientHeight) {
      body.scrollTop = top + ROW - body.clientHeight;
    }
    this.draw();
  }

  /** Asks again from time to time, the more seldom the longer an answer takes. */
  follow() {
    const next = () => {
      const pause = Math.max(2000, (this.took ?? 0) * 50);
      this.timer = setTimeout(async () => {
        if (!isPaused() && !document.hidden) await this.refresh();
        if (this.timer !== undefined) next();
      }, pause);
    };
    void this.refresh();
    next();
  }

  destroy() {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.observer.disconnect();
  }
}

/** A field that filters a grid as one types. */
export function filterField(grid, hint) {
  let timer;
  return h("input", {
    type: "search",
    class: "filter",
    placeholder: hint,
    "aria-label": "Filter",
    spellcheck: "false",
    oninput: ({ target }) => {
      clearTimeout(timer);
      timer = setTimeout(() => grid.setFilter(target.value), 120);
    },
    onkeydown: (event) => {
      if (event.key === "ArrowDown" || event.key === "Enter") {
        event.preventDefault();
        grid.body.focus();
        if (grid.selected < 0) grid.onKey(new KeyboardEvent("keydown", { key: "ArrowDown" }));
      }
    },
  });
}
