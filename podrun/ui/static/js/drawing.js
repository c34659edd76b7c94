// The pod as a house: what all of it shares above, a room for each container, the shelf of volumes below, and pause
// as the ground. Drawn anew from each picture that podrund sends; what stays keeps its element, so that it can move.

import { containersOf, stateOf } from "./pod.js";
import { bytes } from "./format.js";
import { h, keyed, mark, s, say, visible } from "./dom.js";
import { Line } from "./live.js";
import { matrix } from "./matrix.js";
import { News } from "./news.js";
import { room } from "./rooms.js";
import { draw as drawWires } from "./wires.js";

const RAILS = {
  net: ["network", "one address, one port space"],
  ipc: ["IPC", "SysV and POSIX memory, queues"],
  uts: ["hostname", ""],
  pid: ["processes", "everybody sees everybody"],
};

// How many rooms stand beside each other, by how many there are; else three.
const COLUMNS = { 0: 1, 1: 1, 2: 2, 4: 2 };

/** Show the drawing in `panel`; gives {end, pod}. */
export function showDrawing(panel, context) {
  return new Drawing(panel, context);
}

class Drawing {
  #anatomy = null;
  #pod = null;
  #frame = 0;

  constructor(panel, { namespace, name, actions, go }) {
    this.context = { actions, go, history: new Map() };
    this.address = h("b", { class: "mono" });
    this.cgroup = h("span", { class: "quiet mono cgroup" });
    this.rails = h("div", { class: "rails" });
    this.past = h("p", { class: "past", "aria-label": "Init containers" });
    this.rooms = h("div", { class: "rooms" });
    this.shelf = h("div", { class: "shelf" });
    this.pause = h("p", { class: "ground" });
    this.wires = s("svg", { class: "wires", "aria-hidden": "true" });
    this.house = h("div", { class: "house" }, this.wires, h("p", { class: "roof" }, this.address, this.cgroup), this.rails, this.past, this.rooms, this.shelf, this.pause);
    this.news = new News();
    this.matrix = matrix();
    panel.append(h("div", { class: "open-box" }, this.house, h("aside", { class: "beside" }, this.matrix.element, this.news.element)));
    this.resized = new ResizeObserver(() => this.#wire());
    this.resized.observe(this.house);
    this.path = `/podrun/v1/ui/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`;
    this.line = null;
    this.onSight = () => this.#look();
    document.addEventListener("visibilitychange", this.onSight);
    this.#look();
  }

  /** Look while there is somebody to see it: podrund reads the kernel for as long as this line stands. */
  #look() {
    if (document.hidden) {
      this.line?.end();
      this.line = null;
    } else {
      this.line ??= new Line(() => this.path, "podrun.ui", { message: (data) => this.#seen(JSON.parse(data)) });
    }
  }

  pod(pod) {
    if (this.#pod && this.#pod.metadata.uid !== pod.metadata.uid) this.#anatomy = null; // another pod of the same name
    this.#pod = pod;
    this.#draw();
  }

  #seen({ type, anatomy, at }) {
    this.house.classList.toggle("gone", type === "gone");
    if (type !== "anatomy") return;
    for (const one of anatomy.containers) one.own = anatomy.namespaces.filter((row) => !row.host && row.members.length === 1 && row.members[0] === one.name);
    for (const one of anatomy.containers) one.processes = one.processes.filter((process) => process.inner_pid !== 0); // had just ended
    this.news.compare(this.#anatomy, anatomy, at);
    this.#anatomy = anatomy;
    this.at = at;
    this.#draw();
  }

  #draw() {
    const anatomy = this.#anatomy;
    const pod = this.#pod;
    if (!anatomy || !pod || anatomy.uid !== pod.metadata.uid) return;
    const tints = new Map(containersOf(pod).map((one) => [one.name, one.tint]));
    const running = new Map(anatomy.containers.map((one) => [one.name, one]));
    const pause = running.get("pause");
    say(this.address, anatomy.addresses.join(", ") || "no address yet");
    say(this.cgroup, anatomy.cgroup);
    this.#drawRails(anatomy, tints);
    const everyone = containersOf(pod).map((declared) => ({ ...declared, real: running.get(declared.name) ?? null, at: this.at }));
    const inPassing = (one) => one.kind === "init" && one.real === null;
    keyed(this.past, everyone.filter(inPassing), (one) => one.name, visitor);
    this.past.hidden = this.past.childElementCount === 0;
    const rooms = everyone.filter((one) => !inPassing(one));
    keyed(this.rooms, rooms, (one) => one.name, (one) => room(one, this.context));
    this.rooms.style.setProperty("--columns", String(COLUMNS[rooms.length] ?? 3));
    keyed(this.shelf, anatomy.volumes, (one) => one.name, (one) => volume(one));
    for (const element of this.shelf.children) element.tint?.(tints);
    this.shelf.hidden = anatomy.volumes.length === 0;
    say(this.pause, pause ? `pause ${pause.processes[0]?.pid ?? ""} holds the shared namespaces, and does nothing else` : "no sandbox: nothing of this pod runs");
    this.matrix.draw(anatomy, tints);
    this.#wire();
  }

  #drawRails(anatomy, tints) {
    const names = anatomy.containers.map((one) => one.name);
    const inside = names.filter((one) => one !== "pause");
    const people = inside.length ? inside : names; // without a container, what pause keeps for the next one
    const shared = anatomy.namespaces.filter((row) => RAILS[row.type] && people.length > 0 && people.every((one) => row.members.includes(one)));
    const rows = shared.filter((row) => row.type !== "pid" || (inside.length > 0 && (inside.length > 1 || row.members.includes("pause"))));
    keyed(this.rails, rows, (row) => `${row.type} ${row.inode}`, rail);
    for (const element of this.rails.children) element.ports?.(anatomy, tints);
  }

  #wire() {
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => drawWires(this.wires, this.house, this.#anatomy));
  }

  end() {
    document.removeEventListener("visibilitychange", this.onSight);
    this.line?.end();
    this.resized.disconnect();
    cancelAnimationFrame(this.#frame);
  }
}

function rail(row) {
  const [title, text] = RAILS[row.type];
  const words = h("span", { class: "quiet" });
  const ports = h("span", { class: "ports" });
  const inode = row.host ? "the machine's own" : `${row.type}:[${row.inode}]`;
  const element = h("div", { class: `rail ${row.type}`, "data-rail": row.type }, h("b", {}, title), words, ports, h("span", { class: "inode mono" }, inode));
  element.members = row.members;
  element.update = (now) => {
    element.members = now.members;
  };
  element.ports = (anatomy, tints) => {
    say(words, row.host ? "shared with everything on this machine" : row.type === "uts" ? visible(anatomy.hostname) : text);
    if (row.type !== "net") return;
    const open = anatomy.containers.flatMap((one) => [...new Set(one.processes.flatMap((process) => process.listens))].map((port) => ({ port, name: one.name, tint: tints.get(one.name) ?? 0 })));
    keyed(ports, open, (one) => `${one.name} ${one.port}`, portChip);
  };
  return element;
}

const portChip = ({ port, name, tint }) => h("span", { class: `port tint-${tint} arriving`, "data-port": `${name} ${port}`, title: `${name} listens at port ${port}` }, `:${port}`);

function volume(one) {
  const size = h("span", { class: "quiet" });
  const places = h("ul", {});
  const element = h("div", { class: "volume", "data-volume": one.name }, h("p", {}, h("b", {}, visible(one.name)), " ", h("span", { class: "quiet" }, visible(one.kind)), " ", size), places);
  element.update = (now) => {
    element.targets = now.targets;
    say(size, now.bytes === undefined || now.bytes === null ? "" : bytes(now.bytes));
  };
  element.tint = (tints) => {
    const paths = Map.groupBy(element.targets, ([, path]) => path);
    keyed(places, [...paths], ([path, users]) => `${path} ${users}`, ([path, users]) => place(path, users.map(([name]) => name), tints));
    mark(element, "data-shared", element.targets.length > 1);
  };
  return element;
}

/** Where some containers have a volume: a dot for each, and their names. */
function place(path, names, tints) {
  const dots = names.map((name) => h("i", { class: `dot tint-${tints.get(name) ?? 0}` }));
  return h("li", {}, h("span", { class: "dots" }, dots), h("span", { class: "mono" }, visible(path)), h("span", { class: "quiet" }, visible(names.join(", "))));
}

/** An init container that does not run: it has been, or is still to come. */
function visitor(first) {
  const words = h("span", {});
  const element = h("span", { class: `visitor tint-${first.tint}` }, h("i", { class: "dot" }), h("b", {}, visible(first.name)), " ", words);
  element.update = (now) => {
    const { word, tone, detail } = stateOf(now.status);
    say(words, visible(`${word}${tone === "done" ? "" : ` ${detail}`}`));
    mark(words, "data-tone", tone);
  };
  return element;
}
