// "What the model saw": what was searched for, the budget as a bar, and each item, kept or dropped.

import { call } from "./api.js";
import { openPanel } from "./dialog.js";
import { el } from "./dom.js";
import { counted, errorText, number, t } from "./texts.js";

export async function showTrace(contextId, traceUrl) {
  const body = openPanel(t("trace_title"));
  body.append(el("p", { class: "quiet" }, t("trace_loading")));
  try {
    const trace = await call("GET", `/api/traces/${contextId}/`);
    const href = `${traceUrl}${encodeURIComponent(contextId)}/change/`;
    body.replaceChildren(
      ...searchesOf(trace),
      ...budgetOf(trace),
      ...listOf(t("kept_items"), trace.items.filter((item) => item.kept)),
      ...listOf(t("dropped_items"), trace.items.filter((item) => !item.kept)),
      el("p", {}, el("a", { href, target: "_blank", rel: "noopener" }, t("whole_trace"))),
    );
  } catch (error) {
    body.replaceChildren(el("p", { role: "alert" }, errorText(error)));
  }
}

function searchesOf({ searches }) {
  if (!searches.length) return [];
  return [
    el("h3", {}, t("searched_for")),
    el(
      "ul",
      { class: "searches" },
      searches.map(({ query, index, found, history, rewritten }) =>
        el(
          "li",
          {},
          el("q", {}, query),
          el("span", { class: "quiet" }, ` ${index}, ${counted("found", found)}`),
          quoted("rewritten_as", rewritten ? [rewritten] : []),
          quoted("ranked_with", history),
        ),
      ),
    ),
  ];
}

function quoted(words, questions) {
  if (!questions.length) return null;
  return el("div", { class: "quiet" }, `${t(words)}: `, questions.flatMap((each, place) => [place ? ", " : "", el("q", {}, each)]));
}

/** Draw the budget: kept items in the order of their priority, what is free, and beyond it what was dropped. */
function budgetOf({ items, tokens, max_tokens: max }) {
  const kept = items.filter((item) => item.kept).sort((a, b) => a.priority - b.priority || a.position - b.position);
  const dropped = items.filter((item) => !item.kept);
  const droppedTokens = dropped.reduce((sum, item) => sum + item.tokens, 0);
  const whole = Math.max(max + droppedTokens, 1);
  const segment = (item, kind) => {
    const node = el("span", { class: `segment ${kind}`, "data-level": String(Math.min(item.priority, 6)), title: `${nameOf(item)}: ${t("item_tokens", { count: number(item.tokens) })}` });
    node.style.setProperty("--share", String(item.tokens / whole));
    return node;
  };
  const free = el("span", { class: "segment free" });
  free.style.setProperty("--share", String(Math.max(0, max - tokens) / whole));
  const words = [t("budget_used", { count: number(tokens), max: number(max) })];
  if (droppedTokens) words.push(t("dropped_tokens", { count: number(droppedTokens) }));
  return [
    el("h3", {}, t("budget")),
    el("div", { class: "budget", role: "img", "aria-label": words.join(", ") }, kept.map((item) => segment(item, "kept")), free, dropped.map((item) => segment(item, "dropped"))),
    el("p", { class: "quiet" }, words.join(", ")),
  ];
}

function listOf(title, items) {
  if (!items.length) return [];
  return [
    el("h3", {}, title),
    el(
      "ul",
      { class: "items" },
      items.map((item) =>
        el(
          "li",
          {},
          el(
            "details",
            {},
            el(
              "summary",
              {},
              el("span", { class: "key", "data-level": String(Math.min(item.priority, 6)) }),
              el("span", { class: "names" }, el("span", { class: "title" }, nameOf(item)), el("span", { class: "path" }, factsOf(item))),
            ),
            el("pre", { tabindex: "0", "aria-label": nameOf(item) }, item.content),
          ),
        ),
      ),
    ),
  ];
}

function nameOf(item) {
  if (item.title) return item.title;
  if (item.part === "history") return t("earlier_turn");
  return item.content.split("\n").find((line) => line.trim())?.slice(0, 80) || t("instructions");
}

function factsOf(item) {
  const importance = item.required ? t("always_kept") : t("priority", { priority: item.priority });
  const why = item.dropped_as && t(`dropped_${item.dropped_as}`);
  return [importance, t("item_tokens", { count: number(item.tokens) }), why].filter(Boolean).join(" · ");
}
