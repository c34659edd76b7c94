// Who is in which namespace: a row per kind, a column per container; what is one namespace is one bar.

import { h, visible } from "./dom.js";

const KINDS = [
  ["net", "network"],
  ["ipc", "IPC"],
  ["uts", "hostname"],
  ["pid", "processes"],
  ["mnt", "mounts"],
  ["cgroup", "cgroup"],
  ["user", "users"],
];

const FEW = 3; // columns in which a whole number has room

/** {element, draw(anatomy, tints)}. */
export function matrix() {
  const table = h("table", { class: "matrix" });
  const element = h("section", { "aria-labelledby": "who" }, h("h2", { id: "who" }, "Namespaces, and who is in them"), h("div", { class: "scrolls" }, table));
  let drawn = "";
  const draw = (anatomy, tints) => {
    const shown = JSON.stringify([anatomy.namespaces, anatomy.containers.map((one) => one.name)]);
    if (shown === drawn) return;
    drawn = shown;
    element.hidden = anatomy.containers.length === 0;
    const people = anatomy.containers.map((one) => one.name);
    const head = h("tr", {}, h("td", {}), people.map((name) => h("th", { scope: "col", class: `tint-${tints.get(name) ?? 0}` }, h("i", { class: "dot" }), h("span", { title: name }, visible(name)))));
    const rows = KINDS.map(([kind, title]) => h("tr", {}, h("th", { scope: "row" }, title), cells(kind, people, anatomy.namespaces, tints)));
    table.replaceChildren(h("thead", {}, head), h("tbody", {}, rows));
  };
  return { element, draw };
}

function cells(kind, people, namespaces, tints) {
  const of = (name) => namespaces.find((row) => row.type === kind && row.members.includes(name));
  const found = [];
  for (let at = 0; at < people.length; ) {
    const row = of(people[at]);
    let end = at + 1;
    while (end < people.length && row && of(people[end])?.inode === row.inode) end += 1;
    const alone = row && row.members.length === 1;
    const look = !row ? "none" : row.host ? "host" : alone ? `alone tint-${tints.get(people[at]) ?? 0}` : "shared";
    const wide = end - at > 1 || people.length <= FEW;
    const text = !row ? "–" : row.host ? (wide ? "the machine's own" : "host") : wide ? String(row.inode) : `…${String(row.inode).slice(-4)}`;
    found.push(h("td", { colspan: end - at, class: look, title: row ? `${kind}:[${row.inode}]: ${row.members.join(", ")}` : null }, h("span", { class: "mono" }, text)));
    at = end;
  }
  return found;
}
