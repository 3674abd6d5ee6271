// Dialogs: the browser's own, which keep the focus inside and close with Escape.

import { el, icon } from "./dom.js";
import { t } from "./texts.js";

/** Show a panel at the side; return its body, which may be filled later. */
export function openPanel(title) {
  const body = el("div", { class: "panel-body", tabindex: "0" });
  const close = el("button", { type: "button", class: "plain", "aria-label": t("close"), title: t("close") }, icon("close"));
  const dialog = el("dialog", { class: "panel", "aria-label": title }, el("header", {}, el("h2", {}, title), close), body);
  close.addEventListener("click", () => dialog.close());
  return show(dialog, body);
}

/** Ask for a confirmation; return a promise of whether it was given. */
export function confirmation(title, text, yes) {
  return new Promise((resolve) => {
    const dialog = el(
      "dialog",
      { class: "question-box", "aria-label": title },
      el("h2", {}, title),
      el("p", {}, text),
      el(
        "div",
        { class: "choices" },
        el("button", { type: "button", class: "button", onclick: () => dialog.close() }, t("cancel")),
        el("button", { type: "button", class: "button danger", onclick: () => dialog.close("yes") }, yes),
      ),
    );
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"));
    show(dialog);
  });
}

function show(dialog, result) {
  const before = document.activeElement;
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()); // outside of it
  dialog.addEventListener("close", () => {
    dialog.remove();
    before?.focus?.();
  });
  document.body.append(dialog);
  dialog.showModal();
  return result;
}
