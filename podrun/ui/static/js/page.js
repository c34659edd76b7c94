// One pod: what it is, why it is so, what can be done with it, and its views behind tabs.

import { Actions } from "./actions.js";
import { Watched } from "./live.js";
import { containersOf, summaryOf } from "./pod.js";
import { explanation } from "./explanation.js";
import { h, mark, say, visible } from "./dom.js";
import { since } from "./format.js";
import { showDrawing } from "./drawing.js";
import { showEvents } from "./events.js";
import { showLogs } from "./logs.js";
import { showTerminal } from "./terminal.js";
import { showTimeline } from "./timeline.js";
import { showYaml } from "./yaml.js";

const TABS = [
  ["drawing", "Drawing", showDrawing],
  ["timeline", "Timeline", showTimeline],
  ["logs", "Logs", showLogs],
  ["terminal", "Terminal", showTerminal],
  ["events", "Events", showEvents],
  ["yaml", "YAML", showYaml],
];

/** Show a pod in `main`; gives {end, key, goes}. */
export function showPod(main, namespace, name, tab) {
  return new Page(main, namespace, name, tab);
}

class Page {
  #pod = null;
  #view = null;
  #tab = "";
  isThere = false;

  constructor(main, namespace, name, tab) {
    this.namespace = namespace;
    this.name = name;
    this.status = h("span", { class: "pill" });
    this.facts = h("p", { class: "facts quiet" });
    this.why = explanation(namespace, name);
    this.actions = new Actions(namespace, name);
    this.tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "Views of the pod" }, TABS.map(([id, title], at) => this.#button(id, title, at)));
    this.panel = h("section", { class: "panel", role: "tabpanel", tabindex: "-1", id: "panel" });
    this.gone = h("p", { class: "notice", hidden: true, role: "status" });
    main.append(
      h("div", { class: "heading" }, h("h1", {}, visible(name)), this.status, h("span", { class: "stretch" }), this.actions.bar),
      this.facts,
      this.why.element,
      this.gone,
      this.tabs,
      this.panel,
    );
    this.watched = new Watched(`/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`, { fieldSelector: `metadata.name=${name}` }, (objects) => this.#changed(objects));
    this.ticking = setInterval(() => this.#facts(), 1000);
    this.#choose(tab);
  }

  #button(id, title, at) {
    const choose = () => this.#go(id);
    const onKey = (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      event.preventDefault();
      const next = TABS[(at + by + TABS.length) % TABS.length][0];
      this.#go(next);
      this.tabs.querySelector(`#tab-${next}`).focus();
    };
    return h("button", { type: "button", role: "tab", id: `tab-${id}`, "aria-controls": "panel", title: `${title} (${at + 1})`, on: { click: choose, keydown: onKey } }, title);
  }

  #go(tab) {
    location.hash = `#/${encodeURIComponent(this.namespace)}/${encodeURIComponent(this.name)}${tab === "drawing" ? "" : `/${tab}`}`;
  }

  /** Whether an address is this page's: then it has gone there. */
  goes(namespace, name, tab) {
    if (namespace !== this.namespace || name !== this.name) return false;
    this.#choose(tab);
    return true;
  }

  #choose(wanted) {
    const [id, title, show] = TABS.find(([each]) => each === wanted) ?? TABS[0];
    if (id === this.#tab) return;
    this.#tab = id;
    this.#view?.end();
    this.panel.replaceChildren();
    for (const button of this.tabs.children) {
      const chosen = button.id === `tab-${id}`;
      button.setAttribute("aria-selected", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
    }
    this.panel.setAttribute("aria-label", title);
    this.panel.dataset.view = id;
    this.#view = show(this.panel, { namespace: this.namespace, name: this.name, actions: this.actions, go: (tab) => this.#go(tab) });
    if (this.#pod) this.#view.pod?.(this.#pod);
  }

  #changed(objects) {
    const pod = [...objects.values()][0] ?? null;
    this.gone.hidden = pod !== null;
    this.actions.pod(pod);
    this.isThere = pod !== null;
    if (pod === null) {
      say(this.gone, this.#pod ? "This pod is gone: it has been deleted, and everything that was its own with it." : "There is no pod of this name here.");
      say(this.status, this.#pod ? "gone" : "not there");
      mark(this.status, "data-tone", "done");
      return;
    }
    this.#pod = pod;
    this.#facts();
    this.why.changed();
    this.#view.pod?.(pod);
  }

  #facts() {
    if (!this.isThere) return;
    const { status, tone, ready, total, restarts } = summaryOf(this.#pod);
    say(this.status, visible(status));
    mark(this.status, "data-tone", tone);
    const all = containersOf(this.#pod).length;
    const words = [
      `${ready} of ${total} ready`,
      restarts ? `${restarts} ${restarts === 1 ? "restart" : "restarts"}` : null,
      this.#pod.status?.podIP ? `one address: ${this.#pod.status.podIP}` : "no address yet",
      `${all} ${all === 1 ? "container" : "containers"}`,
      this.#pod.status?.qosClass,
      `${since(this.#pod.metadata.creationTimestamp)} old`,
    ];
    say(this.facts, words.filter(Boolean).join("  ·  "));
  }

  key(event) {
    const at = "123456".indexOf(event.key);
    if (event.key === "Escape") location.hash = "#/";
    else if (at >= 0) this.#go(TABS[at][0]);
    else return this.#view?.key?.(event) ?? false;
    return true;
  }

  end() {
    clearInterval(this.ticking);
    this.#view?.end();
    this.watched.end();
    this.why.end();
  }
}

