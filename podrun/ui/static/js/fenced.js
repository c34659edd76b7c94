// xterm.js writes rules into <style> elements and colours into style attributes, both of which the page's policy
// refuses, rightly: they are markup made at run time. While a terminal is open, the elements that are made get the
// same assignments as a constructed style sheet and as properties of their style object, which scripts may always set.

/** Begin; the function returned ends it. */
export function fence() {
  const sheets = new Set();
  document.createElement = (name, ...rest) => {
    if (name === "style") return standIn(sheets);
    const element = Document.prototype.createElement.call(document, name, ...rest);
    if (name === "span") routeStyle(element);
    return element;
  };
  return () => {
    delete document.createElement;
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((sheet) => !sheets.has(sheet));
  };
}

/** In place of a <style>, whose mere insertion is refused: an element without a look, whose text becomes a sheet's. */
function standIn(sheets) {
  const sheet = new CSSStyleSheet();
  sheets.add(sheet);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  const element = Document.prototype.createElement.call(document, "template");
  Object.defineProperty(element, "textContent", { get: () => "", set: (rules) => sheet.replaceSync(rules) });
  return element;
}

function routeStyle(element) {
  element.setAttribute = (name, value) => {
    if (name === "style") element.style.cssText = value;
    else Element.prototype.setAttribute.call(element, name, value);
  };
}
