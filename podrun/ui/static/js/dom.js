// Elements. What comes from a server only ever becomes a text node or an attribute that holds text: there is no way
// from here to markup (and Trusted Types would refuse it).

const SVG = "http://www.w3.org/2000/svg";

/** An element: h("p", {class: "quiet", on: {click}}, "text", element, null, [more]). Other attributes are set as text. */
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same in SVG. */
export function s(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else if (key === "vars") for (const [name, given] of Object.entries(value)) element.style.setProperty(name, given);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Set an element's text, touching the page only where it differs. */
export function say(element, text) {
  const wanted = String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

/** Set or take away an attribute, touching the page only where it differs. */
export function mark(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value === true ? "" : value)) {
    element.setAttribute(name, value === true ? "" : value);
  }
}

const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

/** A text from outside on one line, with what would hide in it or turn it round (controls, bidi marks) made visible. */
export function visible(text) {
  return String(text).replace(HIDDEN, (found) => {
    const code = found.charCodeAt(0);
    return code < 0x20 ? String.fromCharCode(0x2400 + code) : `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
}

/**
 * Make `parent`'s children follow `items`, keeping the elements of those that stay.
 * `make(item)` gives an element with a method `update(item)`; `leave(element)` may delay its going (a promise).
 */
export function keyed(parent, items, key, make, leave = null) {
  const known = (parent.known ??= new Map());
  const seen = new Set();
  let place = parent.firstElementChild;
  while (place && place.leaving) place = place.nextElementSibling;
  for (const item of items) {
    const name = key(item);
    seen.add(name);
    let element = known.get(name);
    if (!element) {
      element = make(item);
      known.set(name, element);
    }
    element.update?.(item);
    if (element === place) {
      place = place.nextElementSibling;
      while (place && place.leaving) place = place.nextElementSibling;
    } else {
      parent.insertBefore(element, place);
    }
  }
  for (const [name, element] of known) {
    if (seen.has(name)) continue;
    known.delete(name);
    element.leaving = true;
    if (leave) leave(element).then(() => element.remove());
    else element.remove();
  }
}

/** Whether things may move. */
export const moves = () => !matchMedia("(prefers-reduced-motion: reduce)").matches;
