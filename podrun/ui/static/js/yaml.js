// The object as the server writes it in YAML, read only.

import { apiPath } from "./pod.js";
import { h, say } from "./dom.js";
import { request } from "./session.js";
import { toast } from "./dialogs.js";

const KEY = /^(\s*(?:- )*)([^\s:#][^:]*)(:)(?=\s|$)/;

export function showYaml(panel, { namespace, name }) {
  let timer = 0;
  let text = "";
  let managed = false;
  let ended = false;
  const note = h("p", { class: "quiet" });
  const code = h("pre", { class: "yaml", tabindex: "0", "aria-label": "The pod in YAML" });
  const toggle = h("button", { type: "button", "aria-pressed": "false", on: { click: () => choose() } }, "Managed fields");
  const copy = h("button", { type: "button", on: { click: () => navigator.clipboard.writeText(text).then(() => toast("Copied.")) } }, "Copy");
  panel.append(h("div", { class: "bar-of-tools" }, h("span", { class: "stretch" }), toggle, copy), code, note);

  const choose = () => {
    managed = !managed;
    toggle.setAttribute("aria-pressed", String(managed));
    draw();
  };
  const draw = () => {
    const shown = managed ? text : without(text);
    code.replaceChildren(...shown.split("\n").map(line));
  };
  const fetchIt = async () => {
    try {
      const answer = await request(apiPath(namespace, name), { accept: "application/yaml" });
      text = await answer.text();
      if (!ended) draw();
      say(note, "");
    } catch (error) {
      say(note, error.message);
    }
  };
  return {
    pod() {
      clearTimeout(timer);
      timer = setTimeout(fetchIt, 100);
    },
    end() {
      ended = true;
      clearTimeout(timer);
    },
  };
}

function line(text) {
  const found = KEY.exec(text);
  if (!found) return `${text}\n`;
  return h("span", {}, found[1], h("b", {}, found[2]), `${text.slice(found[1].length + found[2].length)}\n`);
}

/** The text less metadata.managedFields, which says who set what and buries the rest. */
function without(text) {
  const lines = text.split("\n");
  const start = lines.findIndex((each) => /^ {2}managedFields:/.test(each));
  if (start < 0) return text;
  let end = start + 1;
  while (end < lines.length && /^ {2}(?:-| )/.test(lines[end])) end += 1;
  return [...lines.slice(0, start), ...lines.slice(end)].join("\n");
}
