// The messages of the open conversation, in their order: turns of the bot, and lines of people and notices.

import { copyButton } from "./copy.js";
import { el, markup } from "./dom.js";
import { feedbackOf } from "./feedback.js";
import { shortTime, t } from "./texts.js";
import { isOpen, paintAnswer, turnElement } from "./turn.js";

// `html` is the server's HTML of the text's first `rendered` UTF-16 units.
export const NOTHING_YET = {
  state: "waiting", text: "", html: "", rendered: 0, result: undefined, error: undefined, contextId: undefined,
  messageId: undefined, feedback: undefined,
};

const places = new WeakMap(); // of the elements, the ids of their messages

export class Thread {
  #log;
  #page;
  #stored = new Map(); // messages by their ids
  #turns = [];
  #articles = new Map();

  constructor(log, page) {
    this.#log = log;
    this.#page = page;
  }

  get isEmpty() {
    return !this.#log.childElementCount;
  }

  /** The ids of the first and the last message that the server has stored, 0 without one. */
  get oldest() {
    return this.#stored.size ? Math.min(...this.#stored.keys()) : 0;
  }

  get newest() {
    return this.#stored.size ? Math.max(...this.#stored.keys()) : 0;
  }

  clear() {
    this.#stored.clear();
    this.#turns = [];
    this.#articles.clear();
    this.#log.replaceChildren();
  }

  /** Show older messages above the known ones. */
  prepend(messages) {
    const older = new Thread(document.createElement("div"), this.#page);
    for (const message of messages) older.absorb(message);
    this.#log.prepend(...older.#log.childNodes);
    this.#stored = new Map([...older.#stored, ...this.#stored]);
    this.#turns = [...older.#turns, ...this.#turns];
    this.#articles = new Map([...older.#articles, ...this.#articles]);
  }

  add(turn) {
    this.#turns.push(turn);
    this.#articles.set(turn, turnElement(turn, this.#page));
    this.#put(this.#articles.get(turn), turn.questionId ?? turn.messageId ?? Infinity);
    return turn;
  }

  /** Show a stored message, unless it is shown already; return whether it is new here. */
  absorb(message) {
    if (this.#stored.has(message.id)) return false;
    this.#stored.set(message.id, message);
    if (message.role === "user") this.#absorbQuestion(message);
    else if (message.role === "assistant") this.#absorbAnswer(message);
    else this.#put(lineOf(message), message.id);
    return true;
  }

  /** Note that the server has stored what is shown already: an answer, or the question of a turn. */
  hasStored(message, asked) {
    if (!message.id) return;
    this.#stored.set(message.id, message);
    if (asked) this.#nameQuestion(asked, message.id);
  }

  /** Say of the last question that it got no answer, if none can be on its way any more. */
  closeQuestions(deadlineS) {
    const last = this.#turns.at(-1);
    const asked = this.#stored.get(last?.questionId);
    if (!asked?.context_id || last.state !== "said") return;
    if (Date.now() - Date.parse(asked.created_at) < (deadlineS + 10) * 1000) return;
    last.state = "unanswered";
    this.paint(last);
  }

  /** Put a line above the first message of somebody else after this one. */
  markUnread(id) {
    this.#log.querySelector(".marker")?.remove();
    const first = [...this.#stored.values()].find((message) => message.id > id && message.role !== "user");
    const node = first && this.#nodeOf(first);
    node?.before(el("p", { class: "marker" }, el("span", {}, t("new_below"))));
    return node;
  }

  paint(turn) {
    const article = this.#articles.get(turn);
    if (article) paintAnswer(article, turn, this.#page);
  }

  scrollTo(turn, options) {
    this.#articles.get(turn)?.scrollIntoView(options);
  }

  scrollToEnd() {
    const last = this.#log.lastElementChild;
    last?.scrollIntoView({ block: last.classList.contains("turn") ? "start" : "end" });
  }

  /** Put an element where its message belongs: another window may have written meanwhile. */
  #put(node, id) {
    places.set(node, id);
    const later = [...this.#log.children].find((each) => each !== node && places.get(each) > id);
    if (later) later.before(node);
    else this.#log.append(node);
    const placeOf = (turn) => places.get(this.#articles.get(turn));
    this.#turns.sort((one, other) => placeOf(one) - placeOf(other) || 0); // two without an id: as they are
  }

  /** Note the id of a turn's question, which tells whether others wrote before it. */
  #nameQuestion(turn, id) {
    turn.questionId = id;
    const node = this.#articles.get(turn);
    if (!node) return;
    places.set(node, id);
    let next = node.nextElementSibling;
    while (next && !(places.get(next) < id)) next = next.nextElementSibling;
    if (next) this.#put(node, id);
  }

  /** Return whether a person or a notice stands between a question and its answer, which is read below it then. */
  #isSaidBetween(questionId, id) {
    const isLine = ({ role }) => role === "agent" || role === "notice";
    return [...this.#stored.values()].some((each) => isLine(each) && each.id > questionId && each.id < id);
  }

  #nodeOf(message) {
    if (message.role !== "assistant") return this.#log.querySelector(`[data-message="${message.id}"]`);
    return this.#articles.get(this.#turns.find((turn) => turn.messageId === message.id));
  }

  #absorbQuestion(message) {
    const known = this.#turns.find((turn) => !turn.questionId && turn.clientId && turn.clientId === message.client_id);
    if (known) {
      this.#nameQuestion(known, message.id);
      return;
    }
    this.add({
      ...NOTHING_YET, question: message.text, state: "said", questionId: message.id,
      clientId: message.client_id ?? undefined, contextId: message.context_id ?? undefined,
    });
  }

  #absorbAnswer(message) {
    const ofTrace = (turn) => message.context_id && turn.contextId === message.context_id;
    const turn = this.#turns.findLast(ofTrace) ?? this.#turns.findLast((each) => !each.messageId && !isOpen(each));
    if (!turn || turn.messageId) {
      this.add(Object.assign({ ...NOTHING_YET, question: "" }, answerOf(message)));
      return;
    }
    if (isOpen(turn)) return; // its own socket is about to bring it
    if (this.#isSaidBetween(turn.questionId, message.id)) {
      this.add(Object.assign({ ...NOTHING_YET, question: "" }, answerOf(message)));
      return;
    }
    Object.assign(turn, answerOf(message));
    this.paint(turn);
  }
}

function answerOf(message) {
  return {
    state: message.flags.includes("answer_stopped") ? "stopped" : "done",
    text: message.text,
    html: message.html,
    rendered: message.text.length,
    result: { citations: message.citations, flags: message.flags, grounding: message.grounding },
    contextId: message.context_id ?? undefined,
    messageId: message.id,
    feedback: message.feedback ?? undefined,
  };
}

/** Return the element of what a person wrote, or of a line that tells what happened. */
function lineOf(message) {
  const data = { "data-message": message.id };
  if (message.role === "notice") return el("p", { class: "notice", ...data }, message.text);
  const name = message.author || t("somebody");
  const { buttons, below } = feedbackOf({ messageId: message.id, feedback: message.feedback ?? undefined });
  return el(
    "article",
    { class: "agent", ...data },
    el("header", {}, el("h2", {}, name), el("time", { datetime: message.created_at }, shortTime(message.created_at))),
    el("div", { class: "markdown text" }, markup(message.html)),
    el("footer", { class: "foot" }, el("div", { class: "actions" }, copyButton(message.text), ...buttons)),
    below,
  );
}
