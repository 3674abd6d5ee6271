// The chat page as a site's widget shows it: its looks, its session, and what the site is told.

import { setAccent } from "./accent.js";
import { el } from "./dom.js";
import { tell } from "./notice.js";
import { greetWidget, isEmbedded, onWidget, tellWidget } from "./site.js";
import { beginFirst, followSite } from "./site_session.js";
import { t } from "./texts.js";

const $ = (id) => document.getElementById(id);

/** Begin as whom the site names; where it cannot, say so and go no further. In the server's own page do nothing. */
export async function beginEmbedded() {
  if (!isEmbedded) return;
  if (parent === window) return stay(); // opened by itself
  const { token, visitor, forgetsVisitor, ...look } = await greetWidget();
  show(look);
  onWidget("look", show);
  try {
    document.body.dataset.userId = await beginFirst({ token, visitor, forgetsVisitor });
  } catch (error) {
    tellWidget("failed", { code: error.code });
    return stay();
  }
}

/** Follow the site while the page is open: who signs in or out, and when the panel is shown. */
export function followWidget({ whenIdle, focus, close }) {
  if (!isEmbedded) return;
  $("message").disabled = false; // until now nobody would have got a question
  followSite(whenIdle);
  onWidget("shown", ({ takesFocus }) => takesFocus && focus());
  $("close-chat").addEventListener("click", close);
  tellWidget("begun", { accent: document.body.dataset.accent ?? "" });
}

function show({ accent, greeting, starters }) {
  setAccent(accent);
  if (greeting) $("greeting").textContent = greeting;
  if (!starters) return;
  $("examples").hidden = !starters.length;
  $("examples").replaceChildren(...starters.map((text) => el("li", {}, el("button", { type: "button", class: "example" }, text))));
}

function stay() {
  tell(t("unavailable"));
  return new Promise(() => {});
}
