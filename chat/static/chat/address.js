// The address names the open conversation, so that it can be reloaded, and the browser goes back to the one before. A
// frame gets a new address on each page of the site around it: there the widget keeps the id, in the site's storage,
// since browsers may forbid the frame one.

import { isEmbedded, onWidget, tellWidget } from "./site.js";

let kept = null; // by the widget, on the page before

onWidget("begin", ({ conversation }) => {
  kept = conversation ?? null;
});

/** Return the id of the conversation that was open; null for none. */
export function idOfAddress() {
  const id = new URLSearchParams(location.search).get("conversation") ?? kept;
  return /^[1-9]\d{0,15}$/.test(id ?? "") ? Number(id) : null;
}

/** Name a conversation, or none; the way back from a frame belongs to the page around it. */
export function setAddress(id, { isPushed }) {
  const url = new URL(location.href);
  if (id) url.searchParams.set("conversation", id);
  else url.searchParams.delete("conversation");
  kept = null;
  tellWidget("conversation", { id: id ?? null });
  history[isPushed && !isEmbedded ? "pushState" : "replaceState"](null, "", url.pathname + url.search);
}
