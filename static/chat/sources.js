// Renders the passages below an answer as cards.

import { el, icon, markup } from "./dom.js";

const SHOWN_MAX = 3;

/** Return the section, and `reveal(number)`, which shows and highlights one source; both are null without citations. */
export function renderSources(citations) {
  if (!citations.length) return { section: null, reveal: null };
  const isAnyCited = citations.some((citation) => citation.is_cited);
  const best = Math.max(1, ...citations.map((citation) => citation.score));
  const cards = new Map(citations.map((citation) => [citation.number, card(citation, best)]));
  // Cited passages come first; passages that were only read can be unfolded.
  const shown = (isAnyCited ? citations.filter((citation) => citation.is_cited) : citations).slice(0, SHOWN_MAX);
  const rest = citations.filter((citation) => !shown.includes(citation));
  const listOf = (some) => el("ul", { class: "cards" }, some.map(({ number }) => el("li", {}, cards.get(number))));
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
  const isOnlyRead = isAnyCited && rest.every((citation) => !citation.is_cited);
  const words = isOnlyRead ? `${rest.length} more read, not cited` : `${rest.length} more`;
  return el("details", { class: "more" }, el("summary", {}, icon("chevron"), words), list);
}

function card(citation, best) {
  const bar = el("span", { class: "bar" });
  bar.style.setProperty("--share", String(Math.max(0, Math.min(1, citation.score / best))));
  const score = citation.score.toFixed(2);
  const path = (citation.heading_path ?? "").split(" > ");
  if (path[0] === citation.title) path.shift(); // the card shows the title already
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
    citation.url ? el("p", { class: "page" }, el("a", { href: citation.url, target: "_blank", rel: "noopener nofollow" }, withoutScheme(citation.url))) : null,
  );
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
