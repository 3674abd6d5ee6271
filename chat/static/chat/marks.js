// Finds a text of Markdown in the HTML that was rendered from it, and marks it there.
//
// The server's offsets are in the Markdown, the page has its HTML. Both have the same letters and digits in the same
// order, but for the addresses of links and the numbers of citations, so these alone are compared.

import { el } from "./dom.js";

const SIGN = /[\p{L}\p{N}]/u;
const NOT_SHOWN = /!?\[([^\]]*)\]\([^)\s]*(?:\s+"[^"]*")?\)|\[\d{1,3}\]/g;

/** Wrap each of the texts, which stand in this order, in elements made by its `wrap`; skip one that is not found. */
export function mark(root, texts) {
  const { signs, places } = signsOf(root);
  const ranges = [];
  let from = 0;
  for (const { text, wrap } of texts) {
    const wanted = comparable(text);
    const start = wanted ? signs.indexOf(wanted, from) : -1;
    if (start < 0) continue;
    from = start + wanted.length;
    if (wrap) ranges.push({ first: places[start], last: places[from - 1], wrap });
  }
  for (const range of ranges.reverse()) wrapRange(root, range); // from the end, so that earlier places stay valid
  return ranges.length;
}

/** Return a part of a text by offsets in Unicode's characters, as Python counts. */
export function slice(text, start, end) {
  return [...text].slice(start, end).join("");
}

function comparable(markdown) {
  return [...markdown.replace(NOT_SHOWN, "$1")].filter((sign) => SIGN.test(sign)).join("").toLowerCase();
}

function textNodes(root) {
  const filter = (node) =>
    node.parentElement.closest(".cite, .visually-hidden") ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT;
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT, filter);
  const found = [];
  while (walker.nextNode()) found.push(walker.currentNode);
  return found;
}

/** Return the root's letters and digits as one string, and for each UTF-16 unit of it the node and offset. */
function signsOf(root) {
  let signs = "";
  const places = [];
  for (const node of textNodes(root)) {
    let offset = 0;
    for (const sign of node.data) {
      if (SIGN.test(sign)) {
        const lower = sign.toLowerCase();
        signs += lower;
        for (let unit = 0; unit < lower.length; unit += 1) places.push({ node, offset, end: offset + sign.length });
      }
      offset += sign.length;
    }
  }
  return { signs, places };
}

function wrapRange(root, { first, last, wrap }) {
  const nodes = textNodes(root);
  const from = nodes.indexOf(first.node);
  const to = nodes.indexOf(last.node);
  for (const node of nodes.slice(from, to + 1).reverse()) {
    const start = node === first.node ? first.offset : 0;
    let end = node === last.node ? last.end : node.data.length;
    // The full stop belongs to its sentence.
    if (node === last.node) end += /^[^\s\p{L}\p{N}[(]*/u.exec(node.data.slice(end))[0].length;
    if (!node.data.slice(start, end).trim()) continue;
    const range = document.createRange();
    range.setStart(node, start);
    range.setEnd(node, end);
    range.surroundContents(wrap(node === last.node));
  }
}

/** Return a function that makes the element around a part of the text; the last part tells the reason. */
export function wrapper(tag, className, reason) {
  return (isLast) => {
    const node = el(tag, { class: className, title: reason });
    if (isLast && reason) queueMicrotask(() => node.append(el("span", { class: "visually-hidden" }, ` (${reason})`)));
    return node;
  };
}
