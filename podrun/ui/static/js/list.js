// All pods: one line each, as they are now.

import { h, keyed, mark, say, visible } from "./dom.js";
import { since } from "./format.js";
import { containersOf, stateOf, summaryOf } from "./pod.js";
import { Watched } from "./live.js";

/** Show the list in `main`; gives {end, key}. */
export function showPods(main) {
  let pods = [];
  let filter = "";
  let loaded = false;
  const search = h("input", { type: "search", placeholder: "Filter", "aria-label": "Filter pods", autocomplete: "off", spellcheck: "false" });
  const count = h("p", { class: "quiet", "aria-live": "polite" });
  const rows = h("ul", { class: "pods", "aria-label": "Pods" });
  const empty = h("section", { class: "empty", hidden: true });
  main.append(h("div", { class: "heading" }, h("h1", {}, "Pods"), count, search), rows, empty);

  const draw = () => {
    const shown = pods.filter((pod) => `${pod.metadata.namespace}/${pod.metadata.name} ${summaryOf(pod).status}`.toLowerCase().includes(filter));
    keyed(rows, shown, (pod) => pod.metadata.uid, row);
    say(count, loaded ? `${shown.length === pods.length ? "" : `${shown.length} of `}${pods.length} ${pods.length === 1 ? "pod" : "pods"}` : "…");
    empty.hidden = !loaded || shown.length > 0;
    if (!empty.hidden) empty.replaceChildren(...(pods.length ? nothingFound(filter) : noPods()));
    for (const link of rows.querySelectorAll("a")) link.tabIndex = -1;
    const first = rows.querySelector("a:focus") ?? rows.querySelector("a");
    if (first) first.tabIndex = 0;
  };
  const watched = new Watched("/api/v1/pods", {}, (objects) => {
    pods = [...objects.values()].sort((a, b) => `${a.metadata.namespace}/${a.metadata.name}`.localeCompare(`${b.metadata.namespace}/${b.metadata.name}`));
    loaded = true;
    draw();
  });
  const ticking = setInterval(draw, 1000); // ages

  search.addEventListener("input", () => {
    filter = search.value.trim().toLowerCase();
    draw();
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      search.value = filter = "";
      draw();
      search.blur();
    } else if (event.key === "ArrowDown" || event.key === "Enter") {
      step(1);
    } else return;
    event.preventDefault();
  });

  const step = (by) => {
    const links = [...rows.querySelectorAll("a")];
    if (!links.length) return;
    const at = links.indexOf(document.activeElement);
    const next = links[at < 0 ? 0 : Math.min(Math.max(at + by, 0), links.length - 1)];
    for (const link of links) link.tabIndex = link === next ? 0 : -1;
    next.focus();
  };

  return {
    end() {
      clearInterval(ticking);
      watched.end();
    },
    key(event) {
      if (event.key === "/") search.focus();
      else if (event.key === "ArrowDown" || event.key === "j") step(1);
      else if (event.key === "ArrowUp" || event.key === "k") step(-1);
      else return false;
      return true;
    },
  };
}

function row(pod) {
  const { namespace, name } = pod.metadata;
  const dots = h("span", { class: "dots", "aria-hidden": "true" });
  const status = h("span", { class: "pill" });
  const ready = h("span", { class: "number" });
  const restarts = h("span", { class: "number quiet" });
  const address = h("span", { class: "mono quiet" });
  const old = h("span", { class: "number quiet" });
  const link = h("a", { href: `#/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}` }, h("span", { class: "who" }, h("b", {}, visible(name)), h("span", { class: "quiet" }, visible(namespace))), dots, status, ready, restarts, address, old);
  const element = h("li", {}, link);
  element.update = (now) => {
    const { status: word, tone, ready: up, total, restarts: again } = summaryOf(now);
    keyed(dots, containersOf(now), (one) => one.name, dot);
    say(status, visible(word));
    mark(status, "data-tone", tone);
    say(ready, `${up}/${total} ready`);
    say(restarts, again ? `${again} ${again === 1 ? "restart" : "restarts"}` : "");
    say(address, now.status?.podIP ?? "");
    say(old, since(now.metadata.creationTimestamp));
  };
  return element;
}

function dot(one) {
  const element = h("i", { class: `dot tint-${one.tint}` });
  element.update = (now) => {
    mark(element, "data-tone", stateOf(now.status).tone);
    mark(element, "title", `${now.name}: ${stateOf(now.status).word}`);
  };
  return element;
}

const noPods = () => [
  h("h2", {}, "No pods yet"),
  h("p", {}, "Start one in a terminal, and it appears here at once:"),
  h("pre", {}, "podrun play examples/bookstore/raw-manifests/02-catalog-pod-sidecar.yaml"),
];

const nothingFound = (filter) => [h("h2", {}, "Nothing matches"), h("p", {}, `No pod has “${visible(filter)}” in its name, namespace or status. Esc empties the filter.`)];
