// reports.js: what the deadlock, lock and leak reports would say now.
import { addressOf, count, get, h, lasting, place as shortPlace, toast } from "./dom.js";

export function reports(place) {
  const body = h("div", { class: "cards" });
  const earlier = new Map();
  const load = async () => {
    try {
      draw(body, await get("reports"), earlier);
    } catch (error) {
      toast(error.message);
    }
  };
  place.append(
    h(
      "div",
      { class: "bar" },
      h("button", { type: "button", onclick: load }, "Look again"),
      h("a", { class: "button", href: addressOf("dump"), download: "dump.txt" }, "Dump as text"),
      h(
        "span",
        { class: "soft" },
        "Looks when it is opened; a look takes the stacks of up to 2,000 waits.",
      ),
    ),
    body,
  );
  void load();
  return {};
}

function goroutine(id, name) {
  return h("a", { href: `#/goroutines/${id}` }, `${id} ${name ?? ""}`);
}

function draw(body, answer, earlier) {
  const verdicts = [
    verdict(
      answer.lockups.length === 0,
      "No goroutines hold each other up",
      `Goroutines hold each other up for ever: ${answer.lockups.length}`,
    ),
    verdict(
      answer.neverCount === 0,
      "No wait is known to be without end",
      `Waits that may never end: ${count(answer.neverCount)}`,
    ),
    verdict(
      answer.long === 0,
      "Nobody waits longer than a minute",
      `Waits longer than a minute: ${count(answer.long)}`,
      "warn",
    ),
  ];
  const parts = [h("section", { class: "card verdicts" }, verdicts)];
  if (answer.lockups.length > 0) {
    parts.push(
      h(
        "section",
        { class: "card scroll" },
        h("h2", null, "They hold each other up for ever"),
        answer.lockups.map(({ text }) => h("p", { class: "mono bad" }, text)),
      ),
    );
  }
  if (answer.never.length > 0) {
    parts.push(
      h(
        "section",
        { class: "card scroll" },
        h("h2", null, "May never end"),
        table(
          ["Goroutine", "Waits for", "Since", "Where", "Because"],
          answer.never.map((row) => [
            goroutine(row.id, row.name),
            `${row.kind} ${row.object}`,
            lasting(row.since),
            h("span", { class: "mono", title: row.at }, shortPlace(row.at)),
            h("span", { class: "bad" }, row.verdict),
          ]),
        ),
      ),
    );
  }
  const rows = answer.places.map((row) => {
    const key = `${row.name}|${row.origin}|${row.kind}`;
    const first = earlier.get(key) ?? row.count;
    earlier.set(key, first);
    const grown = row.count - first;
    return [
      h("b", null, count(row.count)),
      grown > 0
        ? h("span", { class: "bad" }, `+${count(grown)}`)
        : grown === 0
          ? ""
          : String(grown),
      row.name,
      row.kind ?? "other promise",
      lasting(row.oldest),
      h("span", { class: "mono", title: row.origin }, shortPlace(row.origin)),
    ];
  });
  parts.push(
    h(
      "section",
      { class: "card scroll" },
      h("h2", null, "By where they were started: what grows from look to look may leak"),
      table(["Live", "Since first look", "Name", "Waits for", "Longest", "Started at"], rows),
    ),
  );
  body.replaceChildren(...parts);
}

function verdict(good, yes, no, bad = "bad") {
  return h("p", { class: good ? "good" : bad }, good ? "✓ " : "⚠ ", good ? yes : no);
}

function table(head, rows) {
  return h(
    "table",
    null,
    h(
      "thead",
      null,
      h(
        "tr",
        null,
        head.map((label) => h("th", null, label)),
      ),
    ),
    h(
      "tbody",
      null,
      rows.map((row) =>
        h(
          "tr",
          null,
          row.map((cell) => h("td", null, cell)),
        ),
      ),
    ),
  );
}
