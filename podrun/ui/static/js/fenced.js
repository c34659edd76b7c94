// xterm.js writes rules into <style> elements and colours into style attributes, both of which the page's policy
// refuses, rightly: they are markup made at run time. Here it gets a document in which the same assignments go to a
// constructed style sheet and to the elements' style objects, which scripts may always set.

/** {document, end()}: what to give to Terminal as `documentOverride`. */
export function fencedDocument() {
  const sheets = new Set();
  const createElement = (name) => {
    const element = document.createElement(name);
    if (name === "style") routeRules(element, sheets);
    else if (name === "span") routeStyle(element);
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
  const end = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((sheet) => !sheets.has(sheet));
  };
  return { document: fenced, end };
}

function routeRules(element, sheets) {
  const sheet = new CSSStyleSheet();
  sheets.add(sheet);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  Object.defineProperty(element, "textContent", { get: () => "", set: (rules) => sheet.replaceSync(rules) });
}

function routeStyle(element) {
  element.setAttribute = (name, value) => {
    if (name === "style") element.style.cssText = value;
    else Element.prototype.setAttribute.call(element, name, value);
  };
}
