// What comes over the page: short messages, questions, and the list of keys.

import { h } from "./dom.js";

const STAY = 6000;

/** A message that goes by itself; tone: good or bad. */
export function toast(text, tone = "good") {
  const shown = h("p", { class: `toast ${tone}` }, text);
  document.querySelector(".toasts").append(shown);
  setTimeout(() => shown.remove(), tone === "bad" ? STAY * 2 : STAY);
}

/** Ask before something that matters; whether the answer was yes. `fields` are elements whose values count. */
export function confirmed(title, text, action, fields = []) {
  return new Promise((resolve) => {
    const dialog = h(
      "dialog",
      { "aria-labelledby": "question" },
      h(
        "form",
        { method: "dialog" },
        h("h2", { id: "question" }, title),
        text && h("p", {}, text),
        fields,
        h("p", { class: "answers" }, h("button", { value: "no", type: "submit" }, "Cancel"), h("button", { value: "yes", class: "danger", type: "submit" }, action)),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

const KEYS = [
  ["Everywhere", [["?", "these keys"], ["t", "dark, light, as the system"], ["Esc", "back, or close what is open"]]],
  ["Pods", [["/", "filter"], ["↑ ↓", "choose"], ["Enter", "open"]]],
  ["One pod", [["1 … 6", "drawing, timeline, logs, terminal, events, YAML"], ["← →", "next tab, while a tab is chosen"]]],
  ["Terminal", [["Ctrl ]", "leave it: the keys are the page's again"]]],
];

export function showKeys() {
  if (document.querySelector("dialog[open]")) return;
  const dialog = h(
    "dialog",
    { class: "keys", "aria-labelledby": "keys" },
    h(
      "form",
      { method: "dialog" },
      h("h2", { id: "keys" }, "Keys"),
      KEYS.map(([where, rows]) => [h("h3", {}, where), h("dl", {}, rows.map(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)]))]),
      h("p", { class: "answers" }, h("button", { type: "submit" }, "Close")),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
