// Who answers: the bot, nobody yet, or a person, and whether they are typing; and the wish for a person.

import { el } from "./dom.js";
import { t } from "./texts.js";

const TYPING_SHOWN_MS = 6000;
const TYPING_SENT_EVERY_MS = 3000;

export class Presence {
  #line;
  #button;
  #state = "bot";
  #agent = null;
  #typing = null;
  #sentAt = 0;

  /** `line` tells who is there, `button` asks for a person. */
  constructor(line, button) {
    this.#line = line;
    this.#button = button;
  }

  get isWithPerson() {
    return this.#state === "person" || this.#state === "waiting";
  }

  get agent() {
    return this.#agent;
  }

  set(state, agent) {
    this.#state = state ?? "bot";
    this.#agent = agent;
    this.#stopTyping();
    this.#paint();
  }

  showTyping(author) {
    clearTimeout(this.#typing);
    const name = author || this.#agent || t("somebody");
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
    if (this.#typing) this.#paint();
    this.#typing = null;
  }

  #paint() {
    this.#line.dataset.state = this.#state;
    this.#line.textContent = {
      bot: "",
      waiting: t("person_waiting"),
      person: t("person_here", { name: this.#agent || t("somebody") }),
      closed: t("conversation_closed"),
    }[this.#state];
    this.#button.disabled = this.isWithPerson;
  }
}
