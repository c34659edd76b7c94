// Light or dark: as the system says, until a person says otherwise.

const STORED = "podrun.theme";
const NEXT = { "": "dark", dark: "light", light: "" };
const SIGNS = { "": "◐", dark: "●", light: "○" };
const NAMES = { "": "as the system", dark: "dark", light: "light" };
const listeners = new Set();

let chosen = localStorage.getItem(STORED) ?? "";

function apply() {
  document.documentElement.dataset.theme = chosen;
  const button = document.getElementById("theme");
  button.textContent = SIGNS[chosen];
  button.setAttribute("aria-label", `Light or dark: ${NAMES[chosen]}`);
  button.title = `${NAMES[chosen]} (t)`;
  for (const act of listeners) act();
}

export function toggle() {
  chosen = NEXT[chosen] ?? "";
  localStorage.setItem(STORED, chosen);
  apply();
}

/** Hear of changes, of the system's too; the function returned ends that. */
export function onTheme(act) {
  listeners.add(act);
  return () => listeners.delete(act);
}

/** A colour of the style sheets, as it is now: what an element of that colour has. */
export function colour(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** The font of everything that the kernel says. */
export const font = () => getComputedStyle(document.documentElement).getPropertyValue("--mono").trim();

export function begin() {
  document.getElementById("theme").addEventListener("click", toggle);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  apply();
}
