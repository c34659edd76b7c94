// The steps of the pod's life as bars over time, a lane for each part of the pod, and as a list below.

import { ask, Refused } from "./session.js";
import { boxPath, containersOf } from "./pod.js";
import { h, mark, say, visible } from "./dom.js";
import { micros } from "./format.js";

const AGAIN_MILLISECONDS = 3000;
const HIGHEST_STACK = 5;
const LATE = 0.8; // of the width: a label there stands to the left of its mark
const LETTER = 0.0062; // of the width
const SMALLEST = 200; // microseconds that the window never falls below
const LISTED = 400;

export function showTimeline(panel, context) {
  return new Timeline(panel, context);
}

class Timeline {
  #found = null;
  #window = null;
  #chosen = "start";
  #timer = 0;
  #tints = new Map();
  #ended = false;

  constructor(panel, { namespace, name }) {
    this.path = `${boxPath(namespace, name)}/timeline`;
    const preset = (id, title) => h("button", { type: "button", "data-preset": id, "aria-pressed": "false", on: { click: () => this.#choose(id) } }, title);
    this.presets = h("div", { class: "choices", role: "group", "aria-label": "Part of the time" }, preset("start", "The start"), preset("all", "Everything"), preset("last", "The last minute"));
    this.span = h("span", { class: "quiet mono" });
    this.chart = h("div", { class: "chart", tabindex: "0", role: "img", "aria-label": "Steps over time; the list below has them in words. Plus and minus zoom, arrows move." });
    this.rows = h("tbody", {});
    this.note = h("p", { class: "quiet" });
    panel.append(
      h("div", { class: "bar-of-tools" }, this.presets, h("span", { class: "stretch" }), this.span),
      this.chart,
      this.note,
      h("div", { class: "step-list", tabindex: "0", "aria-label": "Steps" }, h("table", { class: "steps" }, h("thead", {}, h("tr", {}, ["At", "Took", "Where", "What"].map((title) => h("th", { scope: "col" }, title)))), this.rows)),
    );
    this.chart.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.chart.addEventListener("keydown", (event) => this.#keys(event));
    this.#drag();
    this.#fetch();
  }

  pod(pod) {
    this.#tints = new Map(containersOf(pod).map((one) => [one.name, one.tint]));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fetch(), 120);
  }

  async #fetch() {
    clearTimeout(this.#timer);
    try {
      const found = await ask(this.path);
      const fresh = !this.#found || found.uid !== this.#found.uid;
      this.#found = found;
      if (this.#ended) return;
      if (fresh || this.#chosen) this.#choose(this.#chosen || "start");
      else this.#draw();
    } catch (error) {
      if (error instanceof Refused) say(this.note, `There is no timeline of this pod: ${visible(error.message)}`);
    }
    this.#later();
  }

  #later() {
    if (!this.#ended) this.#timer = setTimeout(() => (document.hidden ? this.#later() : this.#fetch()), AGAIN_MILLISECONDS);
  }

  #choose(id) {
    this.#chosen = id;
    if (!this.#found) return;
    const end = Math.max(...this.#found.steps.map((one) => one.at + one.took), SMALLEST);
    const ready = this.#found.milestones.ready ?? Math.min(end, 2e6);
    if (id === "start") this.#window = [0, Math.max(ready * 1.06, SMALLEST)];
    else if (id === "all") this.#window = [0, end * 1.02];
    else this.#window = [Math.max(end - 60e6, 0), end];
    this.#draw();
  }

  #zoom(factor, around = 0.5) {
    const [from, to] = this.#window ?? [0, 1];
    const width = Math.max((to - from) * factor, SMALLEST);
    const fixed = from + (to - from) * around;
    this.#free(Math.max(fixed - width * around, 0), width);
  }

  #free(from, width) {
    this.#chosen = "";
    this.#window = [Math.max(from, 0), Math.max(from, 0) + width];
    this.#draw();
  }

  #wheel(event) {
    if (!this.#window || !(event.ctrlKey || event.shiftKey)) return; // a page that scrolls goes on scrolling
    event.preventDefault();
    const { left, width } = this.chart.getBoundingClientRect();
    this.#zoom((event.deltaY || event.deltaX) > 0 ? 1.25 : 0.8, (event.clientX - left) / width);
  }

  #keys(event) {
    if (!this.#window) return;
    const [from, to] = this.#window;
    const width = to - from;
    if (event.key === "+" || event.key === "=") this.#zoom(0.6);
    else if (event.key === "-") this.#zoom(1.7);
    else if (event.key === "ArrowRight") this.#free(from + width / 4, width);
    else if (event.key === "ArrowLeft") this.#free(from - width / 4, width);
    else return;
    event.preventDefault();
  }

  /** A stretch that is drawn with the pointer becomes the window. */
  #drag() {
    let start = null;
    const at = (event) => {
      const field = this.chart.querySelector(".lane-field")?.getBoundingClientRect();
      return field ? Math.min(Math.max((event.clientX - field.left) / field.width, 0), 1) : null;
    };
    this.chart.addEventListener("pointerdown", (event) => {
      start = at(event);
    });
    this.chart.addEventListener("pointerup", (event) => {
      const end = at(event);
      if (start === null || end === null || !this.#window || Math.abs(end - start) < 0.02) return;
      const [from, to] = this.#window;
      this.#free(from + Math.min(start, end) * (to - from), Math.abs(end - start) * (to - from));
      start = null;
    });
  }

  #draw() {
    const [from, to] = this.#window;
    const steps = this.#found.steps.filter((one) => one.at + one.took >= from && one.at <= to);
    for (const button of this.presets.children) mark(button, "aria-pressed", String(button.dataset.preset === this.#chosen));
    say(this.span, `${micros(from)} … ${micros(to)} after ${this.#found.adopted ? "podrund found it" : "POST"}`);
    const lanes = new Map();
    for (const one of this.#found.steps) if (!lanes.has(one.lane)) lanes.set(one.lane, []);
    for (const one of steps) lanes.get(one.lane).push(one);
    this.chart.replaceChildren(this.#axis(from, to), ...[...lanes].map(([lane, own]) => this.#lane(lane, own, from, to)));
    const few = steps.slice(0, LISTED);
    this.rows.replaceChildren(...few.map((one) => this.#row(one)));
    const more = [];
    if (steps.length > LISTED) more.push(`the first ${LISTED} of ${steps.length} steps are listed`);
    if (this.#found.dropped) more.push(`${this.#found.dropped} older steps have been forgotten`);
    if (this.#found.adopted) more.push("podrund has been restarted since: what came before is not known any more");
    say(this.note, more.join("; "));
  }

  #axis(from, to) {
    const marks = Object.entries(this.#found.milestones)
      .filter(([, at]) => at >= from && at <= to)
      .sort((a, b) => a[1] - b[1]);
    const share = (at) => (at - from) / (to - from);
    const edges = [];
    const shown = marks.map(([name, at]) => {
      const late = share(at) > LATE;
      const room = (name.length + micros(at).length + 3) * LETTER;
      const [left, right] = late ? [share(at) - room, share(at)] : [share(at), share(at) + room];
      let row = [0, 1, 2, 3].findIndex((each) => (edges[each] ?? -1) <= left);
      if (row < 0) row = 3;
      edges[row] = right;
      return h("span", { class: "milestone", "data-late": late, vars: { "--at": String(share(at)), "--row": String(row) } }, h("span", {}, h("b", {}, visible(name)), ` ${micros(at)}`));
    });
    return h("div", { class: "lane axis" }, h("span", { class: "lane-name" }), h("span", { class: "lane-field" }, shown));
  }

  #lane(lane, steps, from, to) {
    const width = to - from;
    const ends = [];
    const bars = steps.map((one) => {
      const left = Math.max((one.at - from) / width, 0);
      const right = Math.min((one.at + one.took - from) / width, 1);
      let row = ends.findIndex((end) => end <= left);
      if (row < 0) row = Math.min(ends.length, HIGHEST_STACK - 1);
      ends[row] = Math.max(right, left + 0.006);
      const text = `${one.name}\n${micros(one.at)}, ${one.took ? `took ${micros(one.took)}` : "a moment"}${one.detail ? `\n${one.detail}` : ""}`;
      return h("i", { class: "step", "data-kind": one.kind, "data-moment": one.took === 0, title: visible(text.replaceAll("\n", " · ")), vars: { "--from": String(left), "--to": String(right), "--row": String(row) } });
    });
    return h("div", { class: `lane ${this.#tintOf(lane)}`, vars: { "--rows": String(Math.max(ends.length, 1)) } }, h("span", { class: "lane-name" }, visible(nameOf(lane))), h("span", { class: "lane-field" }, bars));
  }

  #row(one) {
    return h("tr", { class: this.#tintOf(one.lane) }, h("td", { class: "mono number" }, micros(one.at)), h("td", { class: "mono number" }, one.took ? micros(one.took) : "·"), h("td", {}, h("i", { class: "dot" }), visible(nameOf(one.lane))), h("td", {}, visible(one.name), one.detail ? h("span", { class: "quiet" }, `  ${visible(one.detail)}`) : null));
  }

  #tintOf(lane) {
    return lane.startsWith("container ") ? `tint-${this.#tints.get(nameOf(lane)) ?? 0}` : "tint-0";
  }

  end() {
    this.#ended = true;
    clearTimeout(this.#timer);
  }
}

const nameOf = (lane) => lane.replace(/^container /, "");
