// Markdown to DOM nodes. Text reaches the page as text nodes only, so nothing that stands in an answer or a
// document can run or load; a link leads to http or https, and an image is a link to it.

import { el } from "./dom.js";

const MAX_DEPTH = 6; // deeper nesting is nobody's writing, and would only exhaust the stack
const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+#-]*)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*)$/;
const RULE = /^ {0,3}([-*_])(?: *\1){2,} *$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(?: +(.*))?$/;
const TABLE_RULE = /^[\s|:-]+$/;

/** Return a fragment; `cite(number)` gives the node for `[1]`, or null where there is no such source. */
export function renderMarkdown(text, cite = () => null) {
  const fragment = document.createDocumentFragment();
  blocks(text.replace(/\r\n?/g, "\n").split("\n"), fragment, { cite, depth: 0 });
  return fragment;
}

function blocks(lines, parent, context) {
  if (context.depth > MAX_DEPTH) {
    parent.append(el("p", {}, lines.join("\n")));
    return;
  }
  let at = 0;
  while (at < lines.length) {
    const read = readerOf(lines, at);
    at = read(lines, at, parent, context);
  }
}

function readerOf(lines, at) {
  const line = lines[at];
  if (!line.trim()) return (_, start) => start + 1;
  if (FENCE.test(line)) return readFence;
  if (HEADING.test(line)) return readHeading;
  if (RULE.test(line)) return readRule;
  if (QUOTE.test(line)) return readQuote;
  if (isTable(lines, at)) return readTable;
  if (ITEM.test(line)) return readList;
  return readParagraph;
}

function readFence(lines, at, parent) {
  const [, fence, language] = FENCE.exec(lines[at]);
  let end = at + 1;
  while (end < lines.length && !lines[end].trim().startsWith(fence)) end += 1;
  const code = el("code", {}, lines.slice(at + 1, end).join("\n"));
  parent.append(el("pre", { tabindex: "0", "aria-label": `Code ${language}`.trim() }, code));
  return end + 1; // an unclosed fence, as while streaming, ends with the text
}

function readHeading(lines, at, parent, context) {
  const [, marks, text] = HEADING.exec(lines[at]);
  const node = el(`h${Math.min(6, marks.length + 2)}`); // the page itself has h1 and h2
  inline(text.trim().replace(/ #+$/, ""), node, context);
  parent.append(node);
  return at + 1;
}

function readRule(lines, at, parent) {
  parent.append(el("hr"));
  return at + 1;
}

function readQuote(lines, at, parent, context) {
  let end = at;
  while (end < lines.length && QUOTE.test(lines[end])) end += 1;
  const node = el("blockquote");
  blocks(lines.slice(at, end).map((line) => line.replace(QUOTE, "")), node, deeper(context));
  parent.append(node);
  return end;
}

function isTable(lines, at) {
  const rule = lines[at + 1];
  return lines[at].includes("|") && rule !== undefined && rule.includes("-") && rule.includes("|") && TABLE_RULE.test(rule);
}

function readTable(lines, at, parent, context) {
  const row = (line, tag) => el("tr", {}, cellsOf(line).map((text) => {
    const cell = el(tag, tag === "th" ? { scope: "col" } : {});
    inline(text, cell, context);
    return cell;
  }));
  let end = at + 2;
  while (end < lines.length && lines[end].includes("|")) end += 1;
  const body = el("tbody", {}, lines.slice(at + 2, end).map((line) => row(line, "td")));
  const table = el("table", {}, el("thead", {}, row(lines[at], "th")), body);
  parent.append(el("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Table" }, table));
  return end;
}

function cellsOf(line) {
  return line.trim().replace(/^\|/, "").replace(/\|$/, "").split("|").map((cell) => cell.trim());
}

function readList(lines, at, parent, context) {
  const [, indent, mark] = ITEM.exec(lines[at]);
  const isOrdered = /\d/.test(mark);
  const first = Number.parseInt(mark, 10);
  const list = el(isOrdered ? "ol" : "ul", isOrdered && first !== 1 ? { start: first } : {});
  while (at < lines.length) {
    const item = ITEM.exec(lines[at]);
    if (!item || RULE.test(lines[at]) || item[1].length !== indent.length || /\d/.test(item[2]) !== isOrdered) break;
    const end = endOfItem(lines, at + 1, indent.length);
    const inside = item[1].length + item[2].length + 1;
    const rest = lines.slice(at + 1, end).map((line) => line.slice(Math.min(inside, indentOf(line))));
    const node = el("li");
    blocks([item[3] ?? "", ...rest], node, deeper(context));
    list.append(node);
    at = end;
  }
  parent.append(list);
  return at;
}

/** An item goes on over indented lines, lines that begin nothing new, and blank lines between indented ones. */
function endOfItem(lines, at, indent) {
  while (at < lines.length) {
    if (lines[at].trim()) {
      if (indentOf(lines[at]) <= indent && readerOf(lines, at) !== readParagraph) break;
      at += 1;
      continue;
    }
    let next = at;
    while (next < lines.length && !lines[next].trim()) next += 1;
    const isItem = next < lines.length && ITEM.test(lines[next]);
    if (next === lines.length || (indentOf(lines[next]) <= indent && !isItem)) return at;
    at = next;
  }
  return at;
}

function readParagraph(lines, at, parent, context) {
  let end = at + 1;
  while (end < lines.length && readerOf(lines, end) === readParagraph) end += 1;
  const follows = parent.lastChild?.nodeName === "BLOCKQUOTE";
  const text = lines.slice(at, end).join("\n").trim();
  // `[1] Title` below a quotation says where it is from.
  const node = el("p", { class: follows && /^\[\d{1,3}\]/.test(text) ? "attribution" : undefined });
  inline(text, node, context);
  parent.append(node);
  return end;
}

const INLINE = new RegExp(
  [
    /\\(?<escaped>[!-/:-@[-`{-~])/,
    /(?<ticks>`+)(?<code>[^`]|[^`][^]*?[^`])\k<ticks>(?!`)/,
    /\*\*(?=\S)(?<bold>[^]*?\S)\*\*(?!\*)/,
    /\b__(?=\S)(?<strong>[^_]+)__\b/,
    /\*(?=[^\s*])(?<italic>[^*\n]*[^\s*])\*(?!\*)/,
    /\b_(?=\S)(?<emphasis>[^_\n]+)_\b/,
    /!?\[(?<label>[^[\]\n]*)\]\((?<target>[^()\s]*(?:\([^()\s]*\)[^()\s]*)*)(?:\s+"[^"\n]*")?\)/,
    /\[(?<number>\d{1,3})\]/,
    /(?<url>https?:\/\/(?:[^\s<>"'`()]|\([^\s<>"'`()]*\))*(?:[^\s<>"'`().,;:!?\]}*_]|\([^\s<>"'`()]*\)))/,
    /(?<break> {2,}|\\)\n/,
  ].map((part) => part.source).join("|"),
  "g",
);

function inline(text, parent, context) {
  if (context.depth > MAX_DEPTH) {
    parent.append(text);
    return;
  }
  let from = 0;
  for (const match of text.matchAll(INLINE)) {
    parent.append(text.slice(from, match.index));
    parent.append(inlineNode(match[0], match.groups, context));
    from = match.index + match[0].length;
  }
  parent.append(text.slice(from));
}

function inlineNode(source, found, context) {
  if (found.escaped !== undefined) return found.escaped;
  if (found.code !== undefined) return el("code", {}, found.code.trim() || found.code);
  if (found.label !== undefined) return link(found.target, found.label || found.target, context);
  if (found.number !== undefined) return context.cite(Number(found.number)) ?? source;
  if (found.url !== undefined) return link(found.url, found.url, context);
  if (found.break !== undefined) return el("br");
  const bold = found.bold ?? found.strong;
  return filled(el(bold === undefined ? "em" : "strong"), bold ?? found.italic ?? found.emphasis, context);
}

function link(target, label, context) {
  // Anything but http(s), such as another article's file name, has no page to lead to: its words remain.
  if (!/^https?:\/\//i.test(target)) return filled(el("span"), label, context);
  const node = el("a", { href: target, target: "_blank", rel: "noopener noreferrer nofollow" });
  if (label === target) node.append(label);
  else filled(node, label, context);
  return node;
}

function filled(node, text, context) {
  inline(text, node, deeper(context));
  return node;
}

function deeper(context) {
  return { ...context, depth: context.depth + 1 };
}

function indentOf(line) {
  return line.length - line.trimStart().length;
}
