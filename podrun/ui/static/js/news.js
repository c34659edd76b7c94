// What has just happened, told from the difference of two pictures.

import { clock } from "./format.js";
import { h, visible } from "./dom.js";

const KEPT = 9;
const SHORT = 44;

export class News {
  constructor() {
    this.list = h("ol", { class: "news", "aria-live": "off" });
    this.element = h("section", { "aria-labelledby": "news" }, h("h2", { id: "news" }, "What the kernel did"), this.list);
    this.#nothing();
  }

  #nothing() {
    this.list.replaceChildren(h("li", { class: "quiet nothing" }, "Nothing yet. Start a process in the terminal, or break something."));
  }

  /** Tell what is different in `after` (a picture of time `at`, in seconds); `before` may be null. */
  compare(before, after, at) {
    if (!before || before.uid !== after.uid) return this.#nothing();
    const told = differences(before, after);
    if (!told.length) return;
    this.list.querySelector(".nothing")?.remove();
    for (const [sign, text] of told) this.list.prepend(h("li", { class: "arriving" }, h("time", { class: "mono quiet" }, clock(at * 1000)), h("i", { "aria-hidden": "true" }, sign), h("span", {}, visible(text))));
    while (this.list.childElementCount > KEPT) this.list.lastElementChild.remove();
  }
}

/** [[sign, text]] of what came (+), went (−) or changed (·) between two pictures of one pod. Pure. */
export function differences(before, after) {
  const told = [];
  const old = processesOf(before);
  const now = processesOf(after);
  const here = new Set(after.containers.map((one) => one.name));
  const there = new Set(before.containers.map((one) => one.name));
  for (const name of here) if (!there.has(name)) told.push(["+", `${name} runs`]);
  for (const name of there) if (!here.has(name)) told.push(["−", `${name} does not run any more`]);
  for (const [pid, [name, command]] of now) {
    if (!old.has(pid) && there.has(name)) told.push(["+", `${name}: ${short(command)} (${pid})`]);
  }
  for (const [pid, [name, command]] of old) {
    if (!now.has(pid) && here.has(name)) told.push(["−", `${name}: ${short(command)} (${pid})`]);
  }
  for (const one of after.containers) {
    const former = before.containers.find((each) => each.name === one.name);
    if (!former) continue;
    if (one.restarts > former.restarts) told.push(["·", `${one.name} has been restarted`]);
    if (Boolean(one.frozen) !== Boolean(former.frozen)) told.push(["·", `${one.name} is ${one.frozen ? "frozen" : "thawed"}`]);
    const ports = portsOf(former);
    for (const port of portsOf(one)) if (!ports.has(port)) told.push(["+", `${one.name} listens at ${port}`]);
    for (const port of ports) if (!portsOf(one).has(port)) told.push(["−", `${one.name} listens no more at ${port}`]);
  }
  const talks = (picture) => new Set((picture.connections ?? []).map((one) => `${one.source} → ${one.target}:${one.port}`));
  for (const talk of talks(after)) if (!talks(before).has(talk)) told.push(["+", talk]);
  for (const talk of talks(before)) if (!talks(after).has(talk)) told.push(["−", talk]);
  return told;
}

function processesOf(picture) {
  return new Map(picture.containers.flatMap((one) => one.processes.map((process) => [process.pid, [one.name, process.command]])));
}

const portsOf = (container) => new Set(container.processes.flatMap((process) => process.listens));
const short = (text) => (text.length > SHORT ? `${text.slice(0, SHORT - 1)}…` : text);
