// Thumbs up or down for an answer, with a comment; both can be changed and taken back.

import { call } from "./api.js";
import { el, icon } from "./dom.js";
import { t } from "./texts.js";

/** Return the buttons, and the comment's form below them; `turn.feedback` is what was given before. */
export function feedbackOf(turn) {
  const said = el("span", { class: "said", role: "status" });
  const below = el("div", { class: "comment", hidden: true });
  const thumbs = new Map([
    ["up", thumb("up", t("good"))],
    ["down", thumb("down", t("bad"))],
  ]);

  function thumb(value, label) {
    const button = el("button", { type: "button", class: "action thumb", title: label, "aria-label": label, onclick: () => give(value) }, icon(value));
    return button;
  }

  function paint() {
    for (const [value, button] of thumbs) button.setAttribute("aria-pressed", String(turn.feedback?.value === value));
  }

  // Changes reach the server one at a time: a first one that came late would undo the second, and its comment.
  let last = Promise.resolve();

  function send(value, comment) {
    const before = turn.feedback;
    const given = value ? { value, comment } : null;
    turn.feedback = given;
    paint();
    last = last.then(async () => {
      try {
        await call("PUT", `/api/messages/${turn.messageId}/feedback/`, { body: { value, comment } });
        return true;
      } catch {
        if (turn.feedback === given) turn.feedback = before;
        said.textContent = t("not_kept");
        paint();
        return false;
      }
    });
    return last;
  }

  async function give(value) {
    said.textContent = "";
    const next = turn.feedback?.value === value ? null : value;
    below.hidden = !next;
    if (next) below.replaceChildren(commentForm());
    if (!(await send(next, turn.feedback?.comment ?? ""))) below.hidden = true;
  }

  function commentForm() {
    const field = el("textarea", { rows: "2", maxlength: "2000", "aria-label": t("comment"), placeholder: t("comment") });
    field.value = turn.feedback?.comment ?? "";
    const submit = async (event) => {
      event.preventDefault();
      if (!(await send(turn.feedback?.value ?? null, field.value.trim()))) return;
      below.hidden = true;
      said.textContent = t("thanks");
    };
    return el("form", { onsubmit: submit }, field, el("button", { class: "button" }, t("send_comment")));
  }

  paint();
  return { buttons: [...thumbs.values(), said], below };
}
