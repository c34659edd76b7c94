// What can be done with a pod: at once where it can be taken back, after a question where it destroys.

import { apiPath, boxPath, containersOf } from "./pod.js";
import { confirmed, toast } from "./dialogs.js";
import { ask, request } from "./session.js";
import { h, visible } from "./dom.js";

const BREAKS = [
  ["pause", "Kill pause, which holds the namespaces"],
  ["address", "Take its address away"],
  ["link", "Take its network link down"],
  ["dns", "Spoil its name resolution"],
  ["container", "Kill a container's first process"],
  ["volume", "Fill a volume"],
];
const FILL_BYTES = 64 << 20;

const NETWORKS = [
  ["Slow: 200 ms later, give or take 20", { delay: "200ms", jitter: "20ms" }],
  ["Lossy: one packet in ten is lost", { loss: "10%" }],
  ["Narrow: 1 Mbit/s", { rate: "1mbit" }],
  ["As it was", { clear: true }],
];

export class Actions {
  #pod = null;

  constructor(namespace, name) {
    this.namespace = namespace;
    this.name = name;
    const button = (title, act, look = "") => h("button", { type: "button", class: look, on: { click: act } }, title);
    this.bar = h(
      "div",
      { class: "actions", role: "group", "aria-label": "What to do with the pod" },
      button("Freeze", () => this.knob("freeze")),
      button("Thaw", () => this.knob("thaw")),
      button("Retry now", () => this.knob("retry")),
      button("Network…", () => this.#network()),
      button("Break…", () => this.#break()),
      button("Delete…", () => this.#delete(), "danger"),
    );
  }

  /** The pod as it is now, null when it is gone. */
  pod(pod) {
    this.#pod = pod;
    for (const button of this.bar.children) button.disabled = pod === null;
  }

  /** One of the open box's own verbs. */
  async knob(verb, body = {}) {
    try {
      const { message } = await ask(`${boxPath(this.namespace, this.name)}/${verb}`, { method: "POST", body });
      toast(visible(message));
      return true;
    } catch (error) {
      toast(visible(error.message), "bad");
      return false;
    }
  }

  async restart(container) {
    const sure = await confirmed(`Restart ${visible(container)}?`, "It is stopped with its grace period and begins anew: what it holds in memory and in its own file system is lost. The pod keeps its address and its volumes.", "Restart");
    if (sure) await this.knob("restart", { container });
  }

  async #delete() {
    const sure = await confirmed(`Delete ${visible(this.name)}?`, "Its processes are ended, and its address, its file systems and its emptyDir volumes go with it.", "Delete");
    if (!sure) return;
    try {
      await request(apiPath(this.namespace, this.name), { method: "DELETE" });
      toast(`${visible(this.name)} is being deleted.`);
    } catch (error) {
      toast(visible(error.message), "bad");
    }
  }

  async #network() {
    const what = h("select", { "aria-label": "How the network is to be" }, NETWORKS.map(([title], at) => h("option", { value: String(at) }, title)));
    const text = "What the pod sends is held up on its own link; what passes over localhost between its containers is not.";
    if (await confirmed(`The network of ${visible(this.name)}`, text, "Apply", [h("p", { class: "fields" }, what)])) await this.knob("netem", NETWORKS[what.value][1]);
  }

  async #break() {
    const what = h("select", { "aria-label": "What to break" }, BREAKS.map(([value, title]) => h("option", { value }, title)));
    const which = h("select", { "aria-label": "Which one" });
    const choose = () => {
      const names = { container: containersOf(this.#pod ?? {}).map((one) => one.name), volume: (this.#pod?.spec.volumes ?? []).map((one) => one.name) }[what.value] ?? [];
      which.replaceChildren(...names.map((each) => h("option", { value: each }, visible(each))));
      which.hidden = names.length === 0;
    };
    what.addEventListener("change", choose);
    choose();
    const sure = await confirmed(`Break ${visible(this.name)}?`, "This is meant to hurt: watch in the drawing and the timeline what Kubernetes makes of it.", "Break it", [h("p", { class: "fields" }, what, which)]);
    if (!sure) return;
    const body = { what: what.value };
    if (which.value) body.name = which.value;
    if (what.value === "volume") body.bytes = FILL_BYTES;
    await this.knob("break", body);
  }
}
