// What was not seen yet: a count in the title while the page is in the background, and who notices its return.

import { rememberRead } from "./memory.js";
import { isInView, onWidget, tellWidget } from "./site.js";
import { t } from "./texts.js";

const title = document.title;
let count = 0;

/** Note a message of somebody else; return whether the reader sees it now. */
export function noteArrival(conversationId, messageId) {
  if (isInView()) {
    rememberRead(conversationId, messageId);
    return true;
  }
  count += 1;
  document.title = t("unread_title", { count, title });
  tellWidget("unread", { count });
  return false;
}

/** Call `back(count)` when the reader returns to the page and there is something new. */
export function onReturn(back) {
  const check = () => {
    if (!count || !isInView()) return;
    const missed = count;
    clearUnread();
    back(missed);
  };
  addEventListener("focus", check);
  document.addEventListener("visibilitychange", check);
  onWidget("shown", check);
}

export function clearUnread() {
  count = 0;
  document.title = title;
}
