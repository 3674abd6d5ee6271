// The passages below an answer, as cards.

import { el, icon, markup } from "./dom.js";

const SHOWN_MAX = 3;

/** Return the section, and `reveal(number)`, which shows and highlights one source; both null without any. */
export function renderSources(citations) {
  if (!citations.length) return { section: null, reveal: null };
  const isAnyCited = citations.some((each) => each.is_cited);
  const best = Math.max(1, ...citations.map((each) => each.score));
  const cards = new Map(citations.map((each) => [each.number, card(each, best)]));
  // What the answer names comes first; what was only read is there for whoever asks.
  const shown = (isAnyCited ? citations.filter((each) => each.is_cited) : citations).slice(0, SHOWN_MAX);
  const rest = citations.filter((each) => !shown.includes(each));
  const listOf = (some) => el("ul", { class: "cards" }, some.map((each) => el("li", {}, cards.get(each.number))));
  const more = rest.length ? moreOf(rest, isAnyCited, listOf(rest)) : null;
  const section = el(
    "section",
    { class: "sources", "aria-label": "Sources" },
    el("h2", {}, isAnyCited ? "Sources" : "Passages read"),
    listOf(shown),
    more,
  );
  return { section, reveal: (number) => reveal(cards.get(number), more) };
}

function moreOf(rest, isAnyCited, list) {
  const isOnlyRead = isAnyCited && rest.every((each) => !each.is_cited);
  const words = isOnlyRead ? `${rest.length} more read, not cited` : `${rest.length} more`;
  return el("details", { class: "more" }, el("summary", {}, icon("chevron"), words), list);
}

function card(citation, best) {
  const bar = el("span", { class: "bar" });
  bar.style.setProperty("--share", String(Math.max(0, Math.min(1, citation.score / best))));
  const score = citation.score.toFixed(2);
  const path = (citation.heading_path ?? "").split(" > ");
  if (path[0] === citation.title) path.shift(); // the card says it once
  return el(
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
      el("span", { class: "score", title: `How well the passage fits: ${score}` }, bar, el("span", { class: "visually-hidden" }, "Score "), score),
      icon("chevron"),
    ),
    el("blockquote", { class: "markdown" }, markup(citation.html)),
  );
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
