// xterm.js writes rules into <style> elements and colours into style attributes, both of which the page's policy
// refuses, rightly: they are markup made at run time. Here it gets a document in which the same assignments go to a
// constructed style sheet and to the elements' style objects, which scripts may always set.

/**
 * {document, within(act), end()}: `document` is what to give to Terminal as `documentOverride`; its `open` is to be
 * called within `within`, since one part of it takes the page's own document all the same.
 */
export function fencedDocument() {
  const sheets = new Set();
  const createElement = (name) => {
    if (name === "style") return standIn(sheets);
    const element = document.createElement(name);
    if (name === "span") routeStyle(element);
    return element;
  };
  const fenced = new Proxy(document, {
    get(target, property) {
      if (property === "createElement") return createElement;
      const value = Reflect.get(target, property, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
    set: (target, property, value) => Reflect.set(target, property, value, target),
  });
  const within = (act) => {
    document.createElement = (name, ...rest) => (name === "style" ? standIn(sheets) : Document.prototype.createElement.call(document, name, ...rest));
    try {
      act();
    } finally {
      delete document.createElement;
    }
  };
  const end = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((sheet) => !sheets.has(sheet));
  };
  return { document: fenced, within, end };
}

/** In place of a <style>, whose mere insertion is refused: an element without a look, whose text becomes a sheet's. */
function standIn(sheets) {
  const sheet = new CSSStyleSheet();
  sheets.add(sheet);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  const element = document.createElement("template");
  Object.defineProperty(element, "textContent", { get: () => "", set: (rules) => sheet.replaceSync(rules) });
  return element;
}

function routeStyle(element) {
  element.setAttribute = (name, value) => {
    if (name === "style") element.style.cssText = value;
    else Element.prototype.setAttribute.call(element, name, value);
  };
}
