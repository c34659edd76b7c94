// The pod's Events, newest first.

import { h, keyed, mark, say, visible } from "./dom.js";
import { since } from "./format.js";
import { Watched } from "./live.js";

export function showEvents(panel, { namespace, name }) {
  let events = [];
  const rows = h("ol", { class: "events", "aria-label": "Events" });
  const note = h("p", { class: "quiet" }, "…");
  panel.append(rows, note);
  const draw = () => {
    keyed(rows, events, (one) => one.metadata.uid, row);
    say(note, events.length ? "" : "Nothing has been told of this pod. Events are kept for an hour.");
  };
  const query = { fieldSelector: `involvedObject.name=${name},involvedObject.kind=Pod` };
  const watched = new Watched(`/api/v1/namespaces/${encodeURIComponent(namespace)}/events`, query, (objects) => {
    events = [...objects.values()].sort((a, b) => timeOf(b).localeCompare(timeOf(a)) || b.metadata.resourceVersion - a.metadata.resourceVersion);
    draw();
  });
  const ticking = setInterval(draw, 1000);
  return {
    end() {
      clearInterval(ticking);
      watched.end();
    },
  };
}

const timeOf = (event) => event.lastTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp ?? "";

function row(first) {
  const time = h("time", { class: "quiet number" });
  const count = h("span", { class: "quiet" });
  const message = h("span", {});
  const element = h("li", { class: "arriving" }, time, h("b", {}, visible(first.reason ?? "")), message, count);
  mark(element, "data-tone", first.type === "Warning" ? "bad" : "good");
  element.update = (now) => {
    say(time, since(timeOf(now)));
    say(message, visible(now.message ?? ""));
    say(count, (now.count ?? 1) > 1 ? `${now.count}×` : "");
  };
  return element;
}
