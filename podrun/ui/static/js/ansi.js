// A line of a log as pieces of text with a look: colours and weights of SGR sequences are kept as class names; every
// other escape sequence (moving, titles, links, clipboards) is dropped, and what is still a control is shown. Pure.

const SEQUENCE = /\u001b(?:\[([0-9;:]*)([A-Za-z])|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[PX^_][^\u001b]*(?:\u001b\\)?|[@-Z\\-_a-z0-9])|\u001b\[[0-9;?<>=!]*[ -/]*[@-~]?/g;

/** [{text, look}]: `look` is class names, "" for none. `style` is carried from piece to piece of one line. */
export function pieces(line) {
  const found = [];
  const style = { bold: false, dim: false, italic: false, underline: false, colour: "" };
  let at = 0;
  const add = (end) => {
    if (end > at) found.push({ text: line.slice(at, end), look: lookOf(style) });
  };
  for (const match of line.matchAll(SEQUENCE)) {
    add(match.index);
    at = match.index + match[0].length;
    if (match[2] === "m") apply(style, match[1]);
  }
  add(line.length);
  return found;
}

function apply(style, parameters) {
  const numbers = parameters.split(/[;:]/).map(Number);
  for (let at = 0; at < numbers.length; at += 1) {
    const code = numbers[at];
    if (code === 0) Object.assign(style, { bold: false, dim: false, italic: false, underline: false, colour: "" });
    else if (code === 1) style.bold = true;
    else if (code === 2) style.dim = true;
    else if (code === 3) style.italic = true;
    else if (code === 4) style.underline = true;
    else if (code === 22) style.bold = style.dim = false;
    else if (code === 23) style.italic = false;
    else if (code === 24) style.underline = false;
    else if (code === 39) style.colour = "";
    else if (code >= 30 && code <= 37) style.colour = `ansi-${code - 30}`;
    else if (code >= 90 && code <= 97) style.colour = `ansi-${code - 90}`;
    else if (code === 38 || code === 48) {
      if (code === 38 && numbers[at + 1] === 5 && numbers[at + 2] < 16) style.colour = `ansi-${numbers[at + 2] % 8}`;
      at += numbers[at + 1] === 5 ? 2 : 4;
    }
  }
}

function lookOf(style) {
  return [style.bold && "bold", style.dim && "dim", style.italic && "italic", style.underline && "underline", style.colour].filter(Boolean).join(" ");
}
