// Renders the passages below an answer as cards; an opened card shows the whole passage, with what supports the answer.

import { call } from "./api.js";
import { el, icon, markup } from "./dom.js";
import { mark, slice, wrapper } from "./marks.js";
import { counted, t } from "./texts.js";

const SHOWN_MAX = 3;

/** Return the section, and `reveal(number)`, which shows and highlights one source; both are null without citations.
 *
 * `answer` has `citations`, `grounding` and `messageId`.
 */
export function renderSources(answer) {
  const { citations } = answer;
  if (!citations.length) return { section: null, reveal: null };
  const isAnyCited = citations.some((citation) => citation.is_cited);
  const best = Math.max(1, ...citations.map((citation) => citation.score));
  const passages = passagesOf(answer.messageId);
  const cards = new Map(citations.map((citation) => [citation.number, card(citation, best, passages, answer.grounding)]));
  // Cited passages come first; passages that were only read can be unfolded.
  const shown = (isAnyCited ? citations.filter((citation) => citation.is_cited) : citations).slice(0, SHOWN_MAX);
  const rest = citations.filter((citation) => !shown.includes(citation));
  const listOf = (some) => el("ul", { class: "cards" }, some.map(({ number }) => el("li", {}, cards.get(number))));
  const more = rest.length ? moreOf(rest, isAnyCited, listOf(rest)) : null;
  const section = el(
    "section",
    { class: "sources" }, // its heading names it; a label would make each answer's a landmark of one name
    el("h3", {}, t(isAnyCited ? "sources" : "passages_read")),
    listOf(shown),
    more,
  );
  return { section, reveal: (number) => reveal(cards.get(number), more) };
}

function moreOf(rest, isAnyCited, list) {
  const isOnlyRead = isAnyCited && rest.every((citation) => !citation.is_cited);
  const words = counted(isOnlyRead ? "more_read" : "more", rest.length);
  return el("details", { class: "more" }, el("summary", {}, icon("chevron"), words), list);
}

function card(citation, best, passages, grounding) {
  const bar = el("span", { class: "bar" });
  bar.style.setProperty("--share", String(Math.max(0, Math.min(1, citation.score / best))));
  const score = Math.max(0, citation.score).toFixed(2); // a cosine may be below it
  const path = (citation.heading_path ?? "").split(" > ");
  if (path[0] === citation.title) path.shift(); // the card shows the title already
  const quote = el("blockquote", { class: "markdown" }, markup(citation.html));
  const node = el(
    "details",
    { class: "card", tabindex: "-1" },
    el(
      "summary",
      {},
      el("span", { class: "number" }, String(citation.number)),
      el(
        "span",
        { class: "names" },
        el("span", { class: "title" }, citation.title || citation.document_id),
        path.length && path[0] ? el("span", { class: "path" }, path.join(" › ")) : null,
      ),
      el("span", { class: "score", title: t("score_of", { score }) }, bar, el("span", { class: "visually-hidden" }, `${t("score")} `), score),
      icon("chevron"),
    ),
    quote,
    citation.url ? el("p", { class: "page" }, el("a", { href: citation.url, target: "_blank", rel: "noopener nofollow" }, withoutScheme(absolute(citation.url)))) : null,
  );
  node.addEventListener("toggle", () => fill(quote, citation, passages, grounding), { once: true });
  return node;
}

/** Return a function that loads an answer's whole passages, once. */
function passagesOf(messageId) {
  let loading = null;
  return () => (loading ??= messageId ? call("GET", `/api/messages/${messageId}/passages/`) : Promise.resolve(null));
}

async function fill(quote, citation, passages, grounding) {
  let found = null;
  try {
    found = (await passages())?.passages.find(({ number }) => number === citation.number);
  } catch {
    // The quote is there already.
  }
  if (!found) return;
  quote.replaceChildren(markup(found.html));
  if (found.admin_url) quote.after(el("p", { class: "page" }, el("a", { href: found.admin_url, target: "_blank", rel: "noopener" }, t("in_admin"))));
  const spans = (grounding?.sentences ?? []).filter(({ passage, span, verdict }) => passage === citation.number && span && verdict !== "not");
  const texts = [...new Map(spans.map(({ span }) => [String(span), span])).values()].sort((a, b) => a[0] - b[0]);
  mark(quote, texts.map(([start, end]) => ({ text: slice(found.content, start, end), wrap: wrapper("mark", "support") })));
}

/** Return an address in full: one of this site's pages may be a path. */
export function absolute(url) {
  return new URL(url, location.href).href;
}

/** Return an address without its scheme, as people write it. */
function withoutScheme(url) {
  return url.replace(/^https?:\/\//i, "").replace(/\/$/, "");
}

function reveal(node, more) {
  if (more?.contains(node)) more.open = true;
  node.open = true;
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  node.scrollIntoView({ block: "nearest", behavior: isCalm ? "auto" : "smooth" });
  node.querySelector("summary").focus({ preventScroll: true });
  node.classList.remove("found");
  void node.offsetWidth; // restarts the highlight when the same source is chosen again
  node.classList.add("found");
}
