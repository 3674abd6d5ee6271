// A button that copies a text.

import { action, el, icon } from "./dom.js";
import { t } from "./texts.js";

const COPIED_MS = 1800;

export function copyButton(text) {
  const button = action("copy", t("copy"), async () => {
    const isCopied = await copyText(text);
    button.replaceChildren(icon(isCopied ? "check" : "copy"), el("span", { role: "status" }, t(isCopied ? "copied" : "not_copied")));
    setTimeout(() => button.replaceChildren(icon("copy"), el("span", {}, t("copy"))), COPIED_MS);
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
