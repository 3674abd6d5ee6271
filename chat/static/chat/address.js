// The address names the open conversation, so that it can be reloaded, and the browser goes back to the one before. A
// frame gets a new address on each page of the site around it: there the tab's storage names the conversation, too.

import { recallText, rememberText } from "./memory.js";
import { isEmbedded } from "./site.js";

const OPEN = "open";

/** Return the id of the conversation that was open; null for none. */
export function idOfAddress() {
  const id = new URLSearchParams(location.search).get("conversation") ?? (isEmbedded ? recallText(OPEN) : null);
  return /^[1-9]\d{0,15}$/.test(id ?? "") ? Number(id) : null;
}

/** Name a conversation, or none; the way back from a frame belongs to the page around it. */
export function setAddress(id, { isPushed }) {
  const url = new URL(location.href);
  if (id) url.searchParams.set("conversation", id);
  else url.searchParams.delete("conversation");
  if (isEmbedded) rememberText(OPEN, id ? String(id) : "");
  history[isPushed && !isEmbedded ? "pushState" : "replaceState"](null, "", url.pathname + url.search);
}
