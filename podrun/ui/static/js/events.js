// The pod's Events, newest first.

import { h, keyed, mark, say, visible } from "./dom.js";
import { since } from "./format.js";
import { containersOf } from "./pod.js";
import { Watched } from "./live.js";

export function showEvents(panel, { namespace, name }) {
  let events = [];
  let tints = new Map();
  const rows = h("ol", { class: "events", "aria-label": "Events" });
  const note = h("p", { class: "quiet" }, "…");
  panel.append(rows, note);
  const draw = () => {
    keyed(rows, events, (one) => one.metadata.uid, (one) => row(one, tints));
    say(note, events.length ? "" : "Nothing has been told of this pod. Events are kept for an hour.");
  };
  const query = { fieldSelector: `involvedObject.name=${name},involvedObject.kind=Pod` };
  const watched = new Watched(`/api/v1/namespaces/${encodeURIComponent(namespace)}/events`, query, (objects) => {
    events = [...objects.values()].sort((a, b) => timeOf(b).localeCompare(timeOf(a)) || b.metadata.resourceVersion - a.metadata.resourceVersion);
    draw();
  });
  const ticking = setInterval(draw, 1000);
  return {
    pod(pod) {
      tints = new Map(containersOf(pod).map((one) => [one.name, one.tint]));
    },
    end() {
      clearInterval(ticking);
      watched.end();
    },
  };
}

const timeOf = (event) => event.lastTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp ?? "";

/** The container that an event is about (spec.containers{web}); "" for the pod. */
const aboutOf = (event) => /\{(.+)\}$/.exec(event.involvedObject?.fieldPath ?? "")?.[1] ?? "";

function row(first, tints) {
  const about = aboutOf(first);
  const whom = h("span", { class: `tint-${tints.get(about) ?? 0}` }, about ? [h("i", { class: "dot" }), visible(about)] : null);
  const time = h("time", { class: "quiet number" });
  const count = h("span", { class: "quiet" });
  const message = h("span", {});
  const element = h("li", { class: "arriving" }, time, h("b", {}, visible(first.reason ?? "")), whom, message, count);
  mark(element, "data-tone", first.type === "Warning" ? "bad" : "good");
  element.update = (now) => {
    say(time, since(timeOf(now)));
    say(message, visible(now.message ?? ""));
    say(count, (now.count ?? 1) > 1 ? `${now.count}×` : "");
  };
  return element;
}
