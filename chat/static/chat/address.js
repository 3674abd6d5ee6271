// The address names the open conversation, so that it can be reloaded, and the browser goes back to the one before.

import { isEmbedded } from "./site.js";

/** Return the conversation's id in the address; null if it names none. */
export function idOfAddress() {
  const id = new URLSearchParams(location.search).get("conversation");
  return /^[1-9]\d{0,15}$/.test(id ?? "") ? Number(id) : null;
}

/** Name a conversation, or none; the way back from a frame belongs to the page around it. */
export function setAddress(id, { isPushed }) {
  const url = new URL(location.href);
  if (id) url.searchParams.set("conversation", id);
  else url.searchParams.delete("conversation");
  history[isPushed && !isEmbedded ? "pushState" : "replaceState"](null, "", url.pathname + url.search);
}
