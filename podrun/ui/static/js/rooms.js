// A container's room: who it is, its processes as a tree, what it uses, and what is its own alone.

import { age, bytes } from "./format.js";
import { h, keyed, mark, moves, s, say, visible } from "./dom.js";
import { stateOf } from "./pod.js";

const MEMORY_POINTS = 60;
const REMEMBERED = 12; // pictures
const GAP = 3;

/**
 * The element of a container: `update({name, kind, tint, image, status, real, at})`; `real` is null where none runs,
 * else what the anatomy says of it, with the namespaces that are its own alone as `own`.
 */
export function room(first, { actions, go }) {
  const state = h("span", { class: "state" });
  const again = h("span", { class: "again quiet" });
  const why = h("p", { class: "quiet reason" });
  const tree = h("ul", { class: "tree", "aria-label": `Processes of ${first.name}` });
  const meter = memoryMeter(first.name);
  const own = h("p", { class: "own mono quiet" });
  const freeze = h("button", { type: "button", on: { click: () => actions.knob(element.frozen ? "thaw" : "freeze", { container: first.name }) } }, "Freeze");
  const buttons = h(
    "p",
    { class: "doors" },
    h("button", { type: "button", on: { click: () => go("logs") } }, "Logs"),
    h("button", { type: "button", on: { click: () => go("terminal") } }, "Terminal"),
    freeze,
    h("button", { type: "button", on: { click: () => actions.restart(first.name) } }, "Restart…"),
  );
  const element = h(
    "article",
    { class: `room tint-${first.tint}`, "data-room": first.name, "aria-label": `Container ${first.name}` },
    h("header", {}, h("h2", {}, visible(first.name)), again, state),
    h("p", { class: "image" }, h("span", { class: "mono quiet" }, visible(first.image)), first.kind === "container" ? null : h("span", { class: "kind" }, first.kind)),
    why,
    tree,
    meter.element,
    own,
    buttons,
  );
  const reserve = steadyHeight(tree);
  let restarts = null;
  element.update = ({ status, real, at }) => {
    const { word, tone, since, detail } = stateOf(status);
    const frozen = Boolean(real?.frozen);
    element.frozen = frozen;
    say(state, frozen ? "Frozen" : `${visible(word)}${since && tone === "good" ? ` ${age((Date.now() - Date.parse(since)) / 1000)}` : ""}`);
    mark(state, "data-tone", frozen ? "wait" : tone);
    mark(element, "data-empty", real === null);
    mark(element, "data-frozen", frozen);
    say(freeze, frozen ? "Thaw" : "Freeze");
    const count = status.restartCount ?? 0;
    say(again, count ? `${count}×` : "");
    mark(again, "title", count ? `restarted ${count} ${count === 1 ? "time" : "times"}` : null);
    if (restarts !== null && count > restarts) flash(element);
    restarts = count;
    say(why, real ? "" : visible(detail));
    why.hidden = real !== null || !detail;
    const processes = treeOf(real?.processes ?? []);
    keyed(tree, processes, (one) => one.pid, process, leave);
    tree.hidden = tree.childElementCount === 0;
    reserve();
    meter.update(real, at);
    say(own, real ? ownWords(real) : "");
    buttons.hidden = real === null;
  };
  return element;
}

/** Keep the room that a list had a moment ago, so that what comes and goes every second moves nothing else. */
function steadyHeight(list) {
  let heights = [];
  return () => {
    const height = [...list.children].filter((one) => !one.leaving).reduce((sum, one) => sum + one.offsetHeight + GAP, 0);
    heights = [...heights, height].slice(-REMEMBERED);
    list.style.minHeight = `${Math.max(...heights)}px`;
  };
}

/** Processes in the order of a tree, each with its depth: children after their parent where parents are known. */
function treeOf(processes) {
  const pids = new Set(processes.map((one) => one.pid));
  const children = new Map();
  const roots = [];
  for (const one of processes) {
    if (one.parent && pids.has(one.parent)) children.set(one.parent, [...(children.get(one.parent) ?? []), one]);
    else roots.push(one);
  }
  const found = [];
  const walk = (one, depth) => {
    found.push({ ...one, depth });
    for (const child of children.get(one.pid) ?? []) walk(child, depth + 1);
  };
  for (const one of roots) walk(one, 0);
  return found;
}

function process(first) {
  const command = h("span", { class: "command" });
  const facts = h("span", { class: "quiet" });
  const ports = h("span", {});
  const element = h("li", { class: "process arriving" }, h("span", { class: "pid mono", title: "number on the machine → number inside" }, `${first.pid} → ${first.inner_pid}`), command, facts, ports);
  element.update = (now) => {
    say(command, visible(now.command));
    mark(command, "title", visible(now.command));
    say(facts, `uid ${now.user}${now.state === "Z" ? " zombie" : ""}`);
    say(ports, now.listens.map((port) => `:${port}`).join(" "));
    mark(element, "data-listens", now.listens.length > 0);
    element.style.setProperty("--depth", String(now.depth));
  };
  return element;
}

/** A process that has ended is struck through, and then its place closes. */
function leave(element) {
  if (!moves()) return Promise.resolve();
  element.classList.add("leaving");
  const height = element.offsetHeight;
  const steps = [
    { opacity: 1, height: `${height}px` },
    { opacity: 0.35, height: `${height}px`, offset: 0.7 },
    { opacity: 0, height: "0px" },
  ];
  return element.animate(steps, { duration: 900, easing: "ease-in-out" }).finished.catch(() => {});
}

function flash(element) {
  if (!moves()) return;
  element.animate([{ boxShadow: "0 0 0 0 var(--tint)" }, { boxShadow: "0 0 0 6px color-mix(in oklab, var(--tint) 35%, transparent)" }, { boxShadow: "0 0 0 12px transparent" }], { duration: 1100, easing: "ease-out" });
}

function ownWords(real) {
  const words = [real.own.map((row) => `${row.type}:[${row.inode}]`).join("  ")];
  if (real.layers) words.push(`root: ${real.layers} ${real.layers === 1 ? "layer" : "layers"}${real.written ? `, ${bytes(real.written)} written` : ""}`);
  if (real.capabilities) words.push(real.capabilities.length ? `${real.capabilities.length} capabilities${real.read_only ? ", read-only root" : ""}` : "no capabilities");
  return words.join("\n");
}

/** Memory as a bar against its limit, with the last minute as a line, and CPU in per cent of one core. */
function memoryMeter(name) {
  const fill = h("span", { class: "fill" });
  const bar = h("span", { class: "bar", role: "meter", "aria-label": `Memory of ${name}`, "aria-valuemin": "0" }, fill);
  const words = h("span", { class: "quiet" });
  const path = s("path", {});
  const line = s("svg", { class: "spark", viewBox: `0 0 ${MEMORY_POINTS} 20`, preserveAspectRatio: "none", "aria-hidden": "true" }, path);
  const element = h("div", { class: "meter", hidden: true }, bar, words, line);
  let points = [];
  let cpu = null;
  const update = (real, at) => {
    if (!real || real.memory === undefined || real.memory === null) {
      element.hidden = true;
      points = [];
      return;
    }
    element.hidden = false;
    const limit = real.memory_limit || 0;
    points = [...points, real.memory].slice(-MEMORY_POINTS);
    const top = limit || Math.max(...points) * 1.5;
    const share = Math.min(real.memory / (top || 1), 1);
    fill.style.setProperty("--share", String(share));
    mark(bar, "data-full", limit > 0 && share > 0.9);
    mark(bar, "data-limitless", limit === 0);
    bar.setAttribute("aria-valuenow", String(real.memory));
    bar.setAttribute("aria-valuemax", String(top));
    bar.setAttribute("aria-valuetext", words.textContent);
    let busy = "";
    if (real.cpu_usec !== undefined && real.cpu_usec !== null) {
      if (cpu && at > cpu.at && real.cpu_usec >= cpu.used) busy = ` · cpu ${Math.round((real.cpu_usec - cpu.used) / (at - cpu.at) / 1e4)} %`;
      cpu = { at, used: real.cpu_usec };
    }
    say(words, `${bytes(real.memory)}${limit ? ` of ${bytes(limit)}` : ", no limit"}${busy}`);
    path.setAttribute("d", points.map((value, place) => `${place ? "L" : "M"}${MEMORY_POINTS - points.length + place} ${(19 - (value / (top || 1)) * 18).toFixed(1)}`).join(""));
  };
  return { element, update };
}
