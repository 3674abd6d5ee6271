// Who answers: the bot, nobody yet, or a person, and whether they are there and typing; and the wish for a person.

import { el } from "./dom.js";
import { t } from "./texts.js";

const TYPING_SHOWN_MS = 6000;
const TYPING_SENT_EVERY_MS = 3000;

export class Presence {
  #line;
  #button;
  #withdraw;
  #isOffered; // whether a person can be asked for
  #state = "bot";
  #agent = null;
  #isHere = null; // null: not known
  #typing = null;
  #sentAt = 0;

  /** `line` tells who is there, `button` asks for a person, if it is not hidden, and `withdraw` takes that back. */
  constructor(line, button, withdraw) {
    this.#line = line;
    this.#button = button;
    this.#withdraw = withdraw;
    this.#isOffered = !button.hidden;
  }

  get isWithPerson() {
    return this.#state === "person" || this.#state === "waiting";
  }

  get isClosed() {
    return this.#state === "closed";
  }

  get agent() {
    return this.#agent;
  }

  /** `isHere`: whether the agent is there; null: not known, undefined: as before. */
  set(state, agent, isHere) {
    const isSame = this.#state === (state ?? "bot") && this.#agent === agent;
    this.#state = state ?? "bot";
    this.#agent = agent;
    if (isHere !== undefined || !isSame) this.#isHere = isHere ?? null;
    if (isSame && this.#typing && isHere !== false) return; // they are typing still
    this.#stopTyping();
    this.#paint();
  }

  /** Show nothing that may not be so any more: the connection is lost. */
  lost() {
    this.#isHere = null;
    this.#stopTyping();
    this.#paint();
  }

  showTyping(author) {
    if (this.#state !== "person" || !author) return; // the reader's own typing in another window
    clearTimeout(this.#typing);
    const name = author;
    this.#line.replaceChildren(el("span", { class: "dots", "aria-hidden": "true" }, el("i"), el("i"), el("i")), t("person_typing", { name }));
    this.#typing = setTimeout(() => this.#stopTyping(), TYPING_SHOWN_MS);
  }

  /** Call `send` if the other side should learn that the reader is typing. */
  typed(send) {
    if (!this.isWithPerson || Date.now() - this.#sentAt < TYPING_SENT_EVERY_MS) return;
    this.#sentAt = Date.now();
    send();
  }

  arrived() {
    this.#stopTyping();
  }

  #stopTyping() {
    clearTimeout(this.#typing);
    const wasTyping = this.#typing;
    this.#typing = null;
    if (wasTyping) this.#paint();
  }

  #paint() {
    this.#line.dataset.state = this.#state;
    this.#line.dataset.here = this.#isHere ?? "";
    const name = this.#agent || t("somebody");
    this.#line.textContent = {
      bot: "",
      waiting: t("person_waiting"),
      person: t(this.#isHere === false ? "person_away" : "person_here", { name }),
      closed: t("conversation_closed"),
    }[this.#state];
    this.#button.disabled = false;
    this.#button.hidden = !this.#isOffered || this.isWithPerson;
    this.#withdraw.hidden = this.#state !== "waiting";
    this.#withdraw.disabled = false;
  }
}
