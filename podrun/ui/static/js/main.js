// The page: lets itself in, then shows what the address after # names.
//
//     #/                       all pods
//     #/NAMESPACE/POD[/TAB]    one pod, opened

import * as session from "./session.js";
import * as theme from "./theme.js";
import { h, say } from "./dom.js";
import { showKeys, toast } from "./dialogs.js";
import { onConnection } from "./live.js";
import { showPods } from "./list.js";
import { showPod } from "./page.js";

const main = document.getElementById("main");
let view = null;

function words() {
  return location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);
}

function route() {
  const [namespace, name, tab] = words();
  if (view?.goes?.(namespace, name, tab)) return;
  view?.end();
  main.replaceChildren();
  crumbs(namespace, name);
  view = name ? showPod(main, namespace, name, tab) : showPods(main);
  document.title = name ? `${name} · podrun` : "podrun";
}

function crumbs(namespace, name) {
  const path = name ? [h("a", { href: "#/" }, "Pods"), h("span", { "aria-hidden": "true" }, "/"), h("span", {}, namespace), h("span", { "aria-hidden": "true" }, "/"), h("span", { "aria-current": "page" }, name)] : [];
  document.querySelector(".crumbs").replaceChildren(...path);
}

function closed() {
  view?.end();
  view = null;
  document.querySelector(".crumbs").replaceChildren();
  main.replaceChildren(
    h(
      "section",
      { class: "empty", "aria-labelledby": "closed" },
      h("h1", { id: "closed" }, "This page needs a link of its own"),
      h("p", {}, "A link works once and soon ends, so that nobody else can use it. Ask for a new one in a terminal on the machine:"),
      h("pre", {}, "sudo podrun ui"),
    ),
  );
}

function onKey(event) {
  if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.closest("input, select, textarea, dialog, .xterm")) return;
  if (event.key === "?") showKeys();
  else if (event.key === "t") theme.toggle();
  else if (!view?.key?.(event)) return;
  event.preventDefault();
}

let stood = true;
function connection(stands) {
  document.body.classList.toggle("cut", !stands);
  say(document.querySelector(".line"), stands ? "" : "podrund does not answer; trying again…");
  if (stands && !stood) toast("podrund is back. The pods went on without it.");
  stood = stands;
}

theme.begin();
document.getElementById("help").addEventListener("click", showKeys);
document.addEventListener("keydown", onKey);
if (await session.enter(closed)) {
  onConnection(connection);
  addEventListener("hashchange", route);
  route();
} else {
  closed();
}
