// Why the pod is as it is, in the sentences of the rule that decided it.

import { ask } from "./session.js";
import { boxPath } from "./pod.js";
import { h, visible } from "./dom.js";

/** {element, changed(): ask again soon, end()}. */
export function explanation(namespace, name) {
  const element = h("p", { class: "why", "aria-live": "polite" });
  let timer = 0;
  let ended = false;
  const fetchIt = async () => {
    try {
      const found = await ask(`${boxPath(namespace, name)}/explanation`);
      if (!ended) element.replaceChildren(...found.sentences.map((sentence) => h("span", {}, `${visible(sentence)} `)));
    } catch {
      element.replaceChildren(); // nothing decides for a pod that has gone
    }
  };
  return {
    element,
    changed() {
      clearTimeout(timer);
      timer = setTimeout(fetchIt, 80);
    },
    end() {
      ended = true;
      clearTimeout(timer);
    },
  };
}
