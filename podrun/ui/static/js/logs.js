// The logs of all containers of the pod in one place, as they are written, each line with its container's colour.

import { apiPath, containersOf } from "./pod.js";
import { h, keyed, mark, visible } from "./dom.js";
import { Line } from "./live.js";
import { pieces } from "./ansi.js";

const KEPT = 4000;
const AT_FIRST = 400;
const TIME = /^(\S+) ?/;

export function showLogs(panel, context) {
  return new Logs(panel, context);
}

class Logs {
  #streams = new Map(); // container id -> Source
  #hidden = new Set();
  #waiting = [];
  #frame = 0;
  #follow = true;
  #filter = "";
  #pod = null;

  constructor(panel, { namespace, name }) {
    this.path = apiPath(namespace, name);
    this.choices = h("div", { class: "choices", role: "group", "aria-label": "Containers" });
    this.search = h("input", { type: "search", placeholder: "Filter lines", "aria-label": "Filter lines", autocomplete: "off", spellcheck: "false" });
    this.following = h("button", { type: "button", "aria-pressed": "true", title: "Keep the newest line in sight (f)", on: { click: () => this.#setFollow(!this.#follow) } }, "Follow");
    this.times = h("button", { type: "button", "aria-pressed": "false", on: { click: () => this.#toggleTimes() } }, "Times");
    this.lines = h("ol", { class: "lines mono", tabindex: "0", "aria-label": "Log lines", role: "log", "aria-live": "off" });
    this.note = h("p", { class: "quiet" }, "No line has been written yet.");
    panel.append(h("div", { class: "bar-of-tools" }, this.choices, h("span", { class: "stretch" }), this.search, this.times, this.following), this.lines, this.note);
    this.lines.addEventListener("scroll", () => this.#scrolled());
    this.search.addEventListener("input", () => {
      this.#filter = this.search.value.toLowerCase();
      for (const line of this.lines.children) this.#show(line);
      this.#toTheEnd();
    });
  }

  pod(pod) {
    this.#pod = pod;
    const all = containersOf(pod);
    this.lines.classList.toggle("several", all.length > 1);
    keyed(this.choices, all, (one) => one.name, (one) => this.#choice(one));
    for (const one of all) {
      const current = one.status.state ?? {};
      const id = (current.running ?? current.terminated)?.containerID ?? one.status.containerID;
      if (id && (current.running || current.terminated) && !this.#streams.has(id)) this.#begin(id, one);
    }
  }

  #choice(one) {
    const choose = () => {
      if (this.#hidden.has(one.name)) this.#hidden.delete(one.name);
      else this.#hidden.add(one.name);
      button.setAttribute("aria-pressed", String(!this.#hidden.has(one.name)));
      for (const line of this.lines.children) this.#show(line);
      this.#toTheEnd();
    };
    const button = h("button", { type: "button", class: `tint-${one.tint}`, "aria-pressed": "true", on: { click: choose } }, h("i", { class: "dot" }), visible(one.name));
    return button;
  }

  /** Follow one attempt of a container; when the connection breaks, go on after the last line that was seen. */
  #begin(id, { name, tint }) {
    let last = "";
    let atLast = 0; // lines seen of that time: what is written together has one time
    let again = 0; // of which so many come once more after a new beginning
    let rest = "";
    const decoder = new TextDecoder();
    const path = () => {
      rest = "";
      const query = new URLSearchParams({ container: name, follow: "true", timestamps: "true" });
      again = atLast;
      if (last) query.set("sinceTime", last);
      else query.set("tailLines", String(AT_FIRST));
      return `${this.path}/log?${query}`;
    };
    const message = (data) => {
      const parts = (rest + decoder.decode(data, { stream: true })).split("\n");
      rest = parts.pop();
      for (const text of parts) {
        const time = TIME.exec(text)?.[1] ?? "";
        if (time < last || (time === last && again-- > 0)) continue;
        atLast = time === last ? atLast + 1 : 1;
        last = time;
        this.#waiting.push({ name, tint, time, text: text.slice(time.length + 1) });
      }
      this.#frame ||= requestAnimationFrame(() => this.#flush());
    };
    this.#streams.set(id, new Line(path, "binary.k8s.io", { message, over: () => !this.#runs(id) }));
  }

  #runs(id) {
    return containersOf(this.#pod).some((one) => one.status.containerID === id && one.status.state?.running);
  }

  #flush() {
    this.#frame = 0;
    const fresh = this.#waiting.splice(0).slice(-KEPT);
    fresh.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
    const made = fresh.map((one) => {
      const line = h("li", { class: `tint-${one.tint}`, title: one.name }, h("time", { class: "quiet" }, visible(one.time.slice(11, 23))), h("b", {}, visible(one.name)), h("span", {}, one.text === "" ? " " : pieces(one.text).map(({ text, look }) => (look ? h("span", { class: look }, shown(text)) : shown(text)))));
      line.container = one.name;
      line.written = one.time;
      this.#show(line);
      return line;
    });
    for (const line of made) this.#place(line);
    while (this.lines.childElementCount > KEPT) this.lines.firstElementChild.remove();
    this.note.hidden = this.lines.childElementCount > 0;
    this.#toTheEnd();
  }

  /** Where its time belongs: the logs of several containers come one after another at first. */
  #place(line) {
    let before = this.lines.lastElementChild;
    while (before && before.written > line.written) before = before.previousElementSibling;
    if (before) before.after(line);
    else this.lines.prepend(line);
  }

  #show(line) {
    line.hidden = this.#hidden.has(line.container) || (this.#filter !== "" && !line.textContent.toLowerCase().includes(this.#filter));
  }

  #toTheEnd() {
    if (this.#follow) this.lines.scrollTop = this.lines.scrollHeight;
  }

  #scrolled() {
    const atEnd = this.lines.scrollHeight - this.lines.scrollTop - this.lines.clientHeight < 24;
    if (atEnd !== this.#follow) this.#setFollow(atEnd);
  }

  #setFollow(follow) {
    this.#follow = follow;
    mark(this.following, "aria-pressed", String(follow));
    this.#toTheEnd();
  }

  #toggleTimes() {
    const shown = this.lines.classList.toggle("times");
    mark(this.times, "aria-pressed", String(shown));
  }

  key(event) {
    if (event.key === "f") this.#setFollow(!this.#follow);
    else if (event.key === "/") this.search.focus();
    else return false;
    return true;
  }

  end() {
    cancelAnimationFrame(this.#frame);
    for (const line of this.#streams.values()) line.end();
  }
}

/** A piece of a log line: tabs stay, other controls are shown. */
const shown = (text) => text.split("\t").map(visible).join("\t");
