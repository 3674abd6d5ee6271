// Renders one question and its answer. The answer is rendered again from the turn's data at each change.

import { action, el, icon, markup } from "./dom.js";
import { renderSources } from "./sources.js";

const COPIED_MS = 1800;
/** Flags that say that the answer itself is not whole. */
const ENDED = { answer_cut_off: "cut off at the longest answer", answer_filtered: "ended by the model's filter" };

/** Return the turn's article element; `page` has `traceUrl`, `retry(turn)` and `edit(turn)`. */
export function turnElement(turn, page) {
  const question = el("div", { class: "question" }, el("h2", { class: "visually-hidden" }, "You asked"), el("p", {}, turn.question));
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
  const answer = article.querySelector(".answer");
  const parts = [el("h2", { class: "visually-hidden" }, "Answer")];
  const { section, reveal } = renderSources(turn.result?.citations ?? []);
  if (turn.text) parts.push(proseOf(turn, reveal));
  if (isRunning && !turn.text) parts.push(waitingFor(turn));
  if (turn.state === "stopped") parts.push(el("p", { class: "note" }, turn.text ? "Stopped before the end." : "Stopped."));
  if (turn.state === "error") parts.push(errorOf(turn, page));
  if (section) parts.push(section);
  if (turn.state === "done" || turn.state === "stopped") parts.push(footerOf(turn, page));
  answer.replaceChildren(...parts);
}

export function isOpen(turn) {
  return turn.state === "waiting" || turn.state === "asked" || turn.state === "answering";
}

/** Return the blocks that the server has rendered, followed by the newer part of the answer as plain text. */
function proseOf(turn, reveal) {
  const rest = turn.text.slice(turn.rendered).trim();
  const prose = el("div", { class: "markdown text" }, markup(turn.html), rest ? el("p", { class: "rest" }, rest) : null);
  for (const below of prose.querySelectorAll("blockquote + p")) {
    // `[1] Title` below a quotation names its source.
    below.classList.toggle("attribution", Boolean(below.firstChild?.classList?.contains("cite")));
  }
  if (!isOpen(turn)) linkSources(prose, turn, reveal); // the sources are known at the end of the answer
  return prose;
}

function linkSources(prose, turn, reveal) {
  const titles = new Map((turn.result?.citations ?? []).map(({ number, title }) => [number, title]));
  for (const mark of prose.querySelectorAll(".cite")) {
    const number = Number(mark.textContent);
    const title = titles.get(number);
    const button = () => el("button", { type: "button", class: "cite", "aria-label": `Source ${number}: ${title}`, title, onclick: () => reveal(number) }, String(number));
    mark.replaceWith(titles.has(number) ? button() : `[${number}]`);
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
  return linked.length ? `\n\n${linked.map(({ number, url }) => `[${number}]: <${url}>`).join("\n")}\n` : "";
}

function waitingFor(turn) {
  const words = turn.state === "waiting" ? "Waiting for the connection. Your question is kept." : "Reading the articles";
  return el("p", { class: "waiting" }, el("span", { class: "dots", "aria-hidden": "true" }, el("i"), el("i"), el("i")), words);
}

function errorOf(turn, page) {
  const { error } = turn;
  const words = el("p", {}, error.message);
  const again = action("retry", "Try again", () => page.retry(turn));
  const edit = el("button", { type: "button", class: "action", onclick: () => page.edit(turn) }, "Edit the question");
  if (error.resetsAt) countDown(words, again, error);
  return el(
    "div",
    { class: "error", role: "alert" },
    icon("warning"),
    el("div", {}, words, el("div", { class: "actions" }, again, edit, traceLink(turn, page, "Details"))),
  );
}

/** Show when the limit allows the next message, and enable the retry button from then on. */
function countDown(words, again, error) {
  const counted = error.limit === "1" ? "1 message" : `${error.limit} messages`;
  const tick = () => {
    const left = Math.ceil((error.resetsAt - Date.now()) / 1000);
    again.disabled = left > 0;
    words.textContent = left > 0 ? `The limit of ${counted} is reached. The next one is possible at ${clock(error.resetsAt)}, ${inWords(left)}.` : "The next message is possible now.";
    if (left > 0) setTimeout(() => words.isConnected && tick(), left > 120 ? 15_000 : 1000);
  };
  tick();
}

function clock(time) {
  return new Date(time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

function inWords(seconds) {
  if (seconds > 90) return `in ${Math.round(seconds / 60)} minutes`;
  return seconds === 1 ? "in a second" : `in ${seconds} seconds`;
}

function footerOf(turn, page) {
  const again = turn.state === "stopped" ? action("retry", "Try again", () => page.retry(turn)) : null;
  const copy = turn.text ? copyButton(withoutNotice(turn) + linksOf(turn)) : null;
  return el("footer", { class: "foot" }, el("div", { class: "actions" }, again, copy, traceLink(turn, page)), metaOf(turn));
}

function traceLink(turn, page, words = "Why this answer?") {
  if (!page.traceUrl || !turn.contextId) return null;
  const href = `${page.traceUrl}${encodeURIComponent(turn.contextId)}/change/`;
  return el("a", { class: "action", href, target: "_blank", rel: "noopener" }, icon("why"), el("span", {}, words));
}

function metaOf(turn) {
  const { result } = turn;
  if (!result) return null;
  const number = (value) => Number(value).toLocaleString("en");
  const { usage } = result;
  const left = result.limits?.["X-RateLimit-Remaining"];
  const ended = result.flags.map((flag) => ENDED[flag]).filter(Boolean).join(", ") || null;
  const missing = result.flags.filter((flag) => !ENDED[flag]).join(", ").replaceAll("_", " ");
  const degraded = missing ? `not everything was available (${missing})` : null;
  const parts = [
    result.extractive ? "No language model is configured: quoted from the documents" : result.model,
    usage.max_tokens ? `${number(usage.context_tokens)} of ${number(usage.max_tokens)} tokens` : null,
    usage.cost_usd ? `$${usage.cost_usd.toFixed(5)}` : null,
    left === undefined ? null : `${number(left)} of ${number(result.limits["X-RateLimit-Limit"])} messages left`,
    ended,
    degraded,
  ];
  return el("p", { class: "meta" }, parts.filter(Boolean).map((part) => el("span", {}, part)));
}

function copyButton(text) {
  const button = action("copy", "Copy", async () => {
    const isCopied = await copyText(text);
    button.replaceChildren(icon(isCopied ? "check" : "copy"), el("span", { role: "status" }, isCopied ? "Copied" : "Not allowed here"));
    setTimeout(() => button.replaceChildren(icon("copy"), el("span", {}, "Copy")), COPIED_MS);
  });
  return button;
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // The clipboard API needs HTTPS or localhost; elsewhere the deprecated command still works.
    const field = el("textarea", { class: "visually-hidden" });
    field.value = text;
    document.body.append(field);
    field.select();
    const isCopied = document.execCommand("copy");
    field.remove();
    return isCopied;
  }
}
