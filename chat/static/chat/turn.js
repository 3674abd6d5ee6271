// Renders one question and its answer. The answer is rendered again from the turn's data at each change.

import { action, el, icon, markup } from "./dom.js";
import { feedbackOf } from "./feedback.js";
import { copyButton } from "./copy.js";
import { mark, slice, wrapper } from "./marks.js";
import { absolute, renderSources } from "./sources.js";
import { isEmbedded } from "./site.js";
import { clock, counted, errorText, number, reasonText, t } from "./texts.js";

/** Flags that say that the answer itself is not whole. */
const ENDED = { answer_cut_off: "cut_off", answer_filtered: "filtered" };
/** What answers without a model calls itself. */
const NO_MODEL = new Set(["none", "small_talk"]);
const OPEN = new Set(["waiting", "asked", "answering"]);

/** Return the turn's article; `page` has `trace(contextId)`, null if not allowed, `retry(turn)`, `edit(turn)`, `person()`. */
export function turnElement(turn, page) {
  // An answer alone has its question above: on an earlier page, or before what was said between them.
  const question = turn.question ? el("div", { class: "question" }, el("h2", { class: "visually-hidden" }, t("you_asked")), el("p", {}, turn.question)) : null;
  const answer = el("div", { class: "answer" });
  const article = el("article", { class: "turn" }, question, answer);
  paintAnswer(article, turn, page);
  return article;
}

export function paintAnswer(article, turn, page) {
  const isRunning = isOpen(turn);
  article.dataset.state = turn.state;
  // A screen reader reads the finished answer once, not each piece of it.
  article.setAttribute("aria-busy", String(isRunning));
  const parts = [];
  const result = turn.result ?? {};
  const { section, reveal } = renderSources({ citations: result.citations ?? [], grounding: result.grounding, messageId: turn.messageId });
  if (turn.text) parts.push(proseOf(turn, reveal));
  if (isRunning && !turn.text) parts.push(waitingFor(turn));
  if (turn.state === "stopped") parts.push(el("p", { class: "note" }, t(turn.text ? "stopped_early" : "stopped")));
  if (turn.state === "unanswered") parts.push(el("p", { class: "note" }, t("unanswered")));
  if (turn.state === "error") parts.push(errorOf(turn, page));
  if (!isRunning) parts.push(...groundingNotes(result.grounding));
  if (section) parts.push(section);
  if (["done", "stopped", "unanswered"].includes(turn.state)) parts.push(...footerOf(turn, page));
  if (parts.length) parts.unshift(el("h2", { class: "visually-hidden" }, t("answer")));
  article.querySelector(".answer").replaceChildren(...parts);
}

export function isOpen(turn) {
  return OPEN.has(turn.state);
}

/** Return the blocks that the server has rendered, followed by the newer part of the answer as plain text. */
function proseOf(turn, reveal) {
  const rest = turn.text.slice(turn.rendered).trim();
  const prose = el("div", { class: "markdown text" }, markup(turn.html), rest ? el("p", { class: "rest" }, rest) : null);
  for (const below of prose.querySelectorAll("blockquote + p")) {
    // `[1] Title` below a quotation names its source.
    below.classList.toggle("attribution", Boolean(below.firstChild?.classList?.contains("cite")));
  }
  for (const table of prose.querySelectorAll(".table")) table.setAttribute("aria-label", t("table"));
  if (!isOpen(turn)) {
    markUnsupported(prose, turn); // before the citations become buttons, whose labels have words
    linkSources(prose, turn, reveal); // the sources are known at the end of the answer
  }
  return prose;
}

function markUnsupported(prose, { text, result }) {
  const sentences = result?.grounding?.sentences ?? [];
  if (sentences.every(({ verdict }) => verdict === "supported")) return;
  mark(
    prose,
    sentences.map(({ start, end, verdict, reasons = [] }) => {
      if (verdict === "supported") return { text: slice(text, start, end) };
      const words = t(verdict === "not" ? "not_supported" : "partly_supported");
      const reason = reasons.length ? t("because", { verdict: words, reasons: reasons.map(reasonText).join(", ") }) : words;
      return { text: slice(text, start, end), wrap: wrapper("span", `unsupported ${verdict}`, reason) };
    }),
  );
}

function groundingNotes(grounding) {
  const unsupported = (grounding?.sentences ?? []).filter(({ verdict }) => verdict === "not").length;
  const words = [
    unsupported ? counted("unsupported", unsupported) : null,
    grounding?.dropped?.length ? t("citation_dropped") : null,
  ].filter(Boolean);
  return words.length ? [el("p", { class: "grounding" }, icon("warning"), words.join(" "))] : [];
}

function linkSources(prose, turn, reveal) {
  const titles = new Map((turn.result?.citations ?? []).map(({ number, title }) => [number, title]));
  for (const cite of prose.querySelectorAll(".cite")) {
    const source = Number(cite.textContent);
    const title = titles.get(source);
    const button = () => el("button", { type: "button", class: "cite", "aria-label": t("source", { number: source, title }), title, onclick: () => reveal(source) }, String(source));
    cite.replaceWith(titles.has(source) ? button() : `[${source}]`);
  }
}

/** Return the text without the notice that no model is configured, which the line below the answer shows. */
function withoutNotice(turn) {
  const notice = turn.result?.notice;
  return notice && turn.text.startsWith(notice) ? turn.text.slice(notice.length).trimStart() : turn.text;
}

/** Return the links of the sources that the answer cites, as the Markdown that makes each [1] of its text one. */
function linksOf(turn) {
  const linked = (turn.result?.citations ?? []).filter((citation) => citation.is_cited && citation.url);
  return linked.length ? `\n\n${linked.map((each) => `[${each.number}]: <${absolute(each.url)}>`).join("\n")}\n` : "";
}

function waitingFor(turn) {
  const words = t(turn.state === "waiting" ? "waiting" : "reading");
  return el("p", { class: "waiting" }, el("span", { class: "dots", "aria-hidden": "true" }, el("i"), el("i"), el("i")), words);
}

function errorOf(turn, page) {
  const { error } = turn;
  const words = el("p", {}, errorText(error));
  const again = action("retry", t("retry"), () => page.retry(turn));
  const edit = el("button", { type: "button", class: "action", onclick: () => page.edit(turn) }, t("edit"));
  if (error.resetsAt) countDown(words, again, error);
  return el(
    "div",
    { class: "error", role: "alert" },
    icon("warning"),
    el("div", {}, words, el("div", { class: "actions" }, again, edit, traceButton(turn, page, "details"))),
  );
}

/** Show when the limit allows the next message, and enable the retry button from then on. */
function countDown(words, again, error) {
  const tick = () => {
    const left = Math.ceil((error.resetsAt - Date.now()) / 1000);
    again.disabled = left > 0;
    const possible = { time: clock(error.resetsAt), wait: left > 90 ? counted("in_minutes", Math.round(left / 60)) : counted("in_seconds", left) };
    words.textContent = left > 0 ? `${counted("limit", Number(error.limit))} ${t("possible_at", possible)}` : t("possible_now");
    if (left > 0) setTimeout(() => words.isConnected && tick(), left > 120 ? 15_000 : 1000);
  };
  tick();
}

function footerOf(turn, page) {
  const again = turn.question ? action("retry", t("retry"), () => page.retry(turn), turn.state === "done" ? { class: "action of-last" } : {}) : null;
  // Where the bot does not know, whether by itself or in the words of a model, a person is offered.
  const offer = turn.result?.flags?.includes("not_known") ? action("person", t("ask_person"), page.person, { class: "action offer" }) : null;
  const copy = turn.text ? copyButton(withoutNotice(turn) + linksOf(turn)) : null;
  const { buttons, below } = turn.messageId ? feedbackOf(turn) : { buttons: [], below: null };
  const foot = el("footer", { class: "foot" }, el("div", { class: "actions" }, offer, again, copy, ...buttons, traceButton(turn, page, "why")), metaOf(turn));
  return below ? [foot, below] : [foot];
}

function traceButton(turn, page, label) {
  if (!page.trace || !turn.contextId) return null;
  return action("why", t(label), () => page.trace(turn.contextId), { "aria-haspopup": "dialog" });
}

function whyQuoted(flags) {
  if (flags.includes("model_unavailable")) return t("model_unavailable");
  return flags.includes("budget_exhausted") ? t("budget_exhausted") : t("no_model");
}

/** Return a line on who answered, and with what; a stored answer knows less of it. */
function metaOf({ result }) {
  if (!result?.flags) return null;
  const { usage, limits } = result;
  const left = limits?.["X-RateLimit-Remaining"];
  const missing = result.flags.filter((flag) => /^(feature_|rate_limit_|semantic_|rerank_)/.test(flag));
  const operators = isEmbedded ? [] : [
    // Which model answered, and its cost, come only to whoever may see traces.
    result.extractive ? whyQuoted(result.flags) : NO_MODEL.has(result.model) ? null : result.model,
    usage?.max_tokens ? t("tokens", { count: number(usage.context_tokens), max: number(usage.max_tokens) }) : null,
    usage?.cost_usd ? `$${usage.cost_usd.toFixed(5)}` : null,
    left === undefined ? null : t("left", { count: number(left), max: number(limits["X-RateLimit-Limit"]) }),
  ];
  const parts = [
    ...operators,
    ...result.flags.filter((flag) => ENDED[flag]).map((flag) => t(ENDED[flag])),
    missing.length ? t("degraded", { what: missing.join(", ").replaceAll("_", " ") }) : null,
  ].filter(Boolean);
  return parts.length ? el("p", { class: "meta" }, parts.map((part) => el("span", {}, part))) : null;
}
