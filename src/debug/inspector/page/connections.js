// connections.js: the table of connections and listeners, and closing one of them.
import { closeDrawer, confirmed, openDrawer } from "./app.js";
import { bytes, get, h, lasting, post, toast } from "./dom.js";
import { filterField, Grid } from "./grid.js";

function wait(side) {
  return side === undefined
    ? ""
    : h("span", { class: "tag io" }, side.kind, " ", lasting(side.since));
}

const COLUMNS = [
  { name: "id", label: "#", width: "70px", phone: "58px", right: true, cell: (row) => row.id },
  {
    name: "network",
    label: "Network",
    width: "90px",
    cell: (row) => (row.type === "listener" ? `${row.network} ◂` : row.network),
  },
  {
    name: "local",
    extra: true,
    label: "Local",
    width: "minmax(120px, 1.3fr)",
    cell: (row) => h("span", { class: "mono" }, row.local),
  },
  {
    name: "remote",
    label: "Remote",
    width: "minmax(120px, 1.3fr)",
    phone: "1.6fr",
    cell: (row) =>
      h(
        "span",
        { class: "mono" },
        row.type === "listener" ? `listens ${row.local}` : row.remote || "–",
      ),
  },
  {
    name: "by",
    extra: true,
    label: "Opened by",
    width: "minmax(80px, 1fr)",
    cell: (row) => row.by && `${row.by.id} ${row.by.name}`,
  },
  {
    name: "age",
    extra: true,
    label: "Age",
    width: "74px",
    right: true,
    cell: (row) => lasting(row.age),
  },
  {
    name: "in",
    label: "In",
    width: "84px",
    phone: "74px",
    right: true,
    cell: (row) => bytes(row.in),
  },
  {
    name: "out",
    label: "Out",
    width: "84px",
    phone: "74px",
    right: true,
    cell: (row) => bytes(row.out),
  },
  {
    name: "idle",
    extra: true,
    label: "Idle",
    width: "74px",
    right: true,
    cell: (row) => lasting(row.idle),
  },
  { name: "reader", label: "Reader", width: "120px", cell: (row) => wait(row.reader) },
  { name: "writer", extra: true, label: "Writer", width: "110px", cell: (row) => wait(row.writer) },
];

export function connections(place) {
  const options = { own: false };
  const grid = new Grid({
    columns: COLUMNS,
    label: "Connections",
    sort: { name: "id", desc: false },
    empty: "No connection matches",
    fetch: (query) => get("conns", { ...query, ...options }),
    open: (row) => {
      location.hash = `#/connections/${row.id}`;
    },
  });
  const own = h("input", {
    type: "checkbox",
    onchange: (event) => {
      options.own = event.target.checked;
      grid.reset();
    },
  });
  place.append(
    h(
      "div",
      { class: "bar" },
      filterField(grid, "Filter: address, network:unix, idle>60000, reader:read …  ( / )"),
      h("label", { class: "check" }, own, "the inspector's"),
      grid.status,
    ),
    grid.element,
  );
  grid.follow();
  return { show: (id) => void showConn(Number(id), grid), destroy: () => grid.destroy() };
}

function waiter(label, side) {
  if (side === undefined) return [h("dt", null, label), h("dd", { class: "soft" }, "nobody waits")];
  const who =
    side.id === undefined
      ? "nobody known"
      : h("a", { href: `#/goroutines/${side.id}` }, `goroutine ${side.id} [${side.name}]`);
  return [h("dt", null, label), h("dd", null, who, ` in ${side.kind}, for ${lasting(side.since)}`)];
}

async function showConn(id, grid) {
  try {
    const { rows } = await get("conns", { filter: `id<${id + 1} id>${id - 1}`, limit: 1 });
    const [row] = rows;
    if (row === undefined) return toast("that connection is closed");
    const fields = [
      ["Network", row.network],
      ["Local", row.local],
      ["Remote", row.remote || "–"],
      ["Opened", row.age === undefined ? "before the inspector came" : `${lasting(row.age)} ago`],
      ["In", bytes(row.in)],
      ["Out", bytes(row.out)],
      ["Idle", lasting(row.idle)],
    ];
    const by =
      row.by &&
      h("a", { href: `#/goroutines/${row.by.id}` }, `goroutine ${row.by.id} [${row.by.name}]`);
    const shut = async () => {
      const what = `${row.type === "listener" ? "listener" : "connection"} ${row.remote || row.local}`;
      if (
        !(await confirmed(
          `Close the ${what}? Whoever waits there fails with ERR_CLOSED.`,
          "Close it",
        ))
      )
        return;
      try {
        await post("close", { id });
        toast(`closed ${what}`);
        closeDrawer();
        void grid.refresh();
      } catch (error) {
        toast(error.message);
      }
    };
    openDrawer(
      `${row.type === "listener" ? "listener" : "connection"} #${row.id}`,
      h(
        "dl",
        { class: "facts" },
        fields.map(([label, value]) => [h("dt", null, label), h("dd", { class: "mono" }, value)]),
        by ? [h("dt", null, "By"), h("dd", null, by)] : null,
        waiter("Reader", row.reader),
        waiter("Writer", row.writer),
      ),
      h(
        "p",
        null,
        h(
          "button",
          { type: "button", class: "danger close-conn", onclick: shut },
          "Close this connection",
        ),
      ),
    );
  } catch (error) {
    toast(error.message);
  }
}
