// The form below the conversation: the message, its draft, its length, and the buttons.

import { recallText, rememberText } from "./memory.js";
import { number, t } from "./texts.js";

const $ = (id) => document.getElementById(id);

export class Composer {
  #draft = "draft:new";
  #max = Number(document.body.dataset.maxChars);

  /** `on` has the callbacks `send(text)`, `stop()` and `typing()`. */
  constructor(on) {
    $("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      if ($("send").hidden || $("send").disabled) return;
      const text = $("message").value.trim();
      this.set("");
      on.send(text);
    });
    $("message").addEventListener("input", () => {
      this.refresh();
      on.typing();
    });
    $("message").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      $("composer").requestSubmit();
    });
    $("stop").addEventListener("click", () => {
      on.stop();
      this.focus();
    });
    new ResizeObserver(([entry]) => {
      document.documentElement.style.setProperty("--composer", `${entry.target.offsetHeight}px`);
    }).observe($("composer"));
  }

  /** Show the draft of a conversation; null is a new one. */
  open(conversationId) {
    this.#draft = `draft:${conversationId ?? "new"}`;
    $("message").value = recallText(this.#draft);
    this.refresh();
  }

  /** Go on with what is written in a conversation that has just begun. */
  continueIn(conversationId) {
    rememberText(this.#draft, "");
    this.#draft = `draft:${conversationId}`;
    this.refresh();
  }

  set(text) {
    $("message").value = text;
    this.refresh();
  }

  /** Put a question before what is written already. */
  prepend(text) {
    const draft = $("message").value.trim();
    this.set(draft ? `${text}\n${draft}` : text);
    this.focus();
  }

  focus() {
    $("message").focus();
  }

  setBusy(isBusy) {
    $("stop").hidden = !isBusy;
    $("send").hidden = isBusy;
  }

  refresh() {
    const field = $("message");
    rememberText(this.#draft, field.value);
    const length = [...field.value].length; // the server counts characters, not UTF-16 units
    const isTooLong = length > this.#max;
    $("send").disabled = !field.value.trim() || isTooLong;
    $("count").hidden = length < 0.8 * this.#max;
    $("count").textContent = t("characters", { count: number(length), max: number(this.#max) });
    $("count").classList.toggle("over", isTooLong);
    field.setAttribute("aria-invalid", String(isTooLong));
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight}px`;
  }
}
