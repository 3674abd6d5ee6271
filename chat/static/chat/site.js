// The page in a frame of another site: what it is told by the site's widget, and what it tells it.
//
// Both sides take messages from each other's window and origin only; the server has checked the site's against the key.

const { siteKey, siteOrigin } = document.body.dataset;

export const isEmbedded = Boolean(siteKey);

const handlers = new Map();
let isShown = true;

/** Call `handler(data)` at each message of the widget of this kind. */
export function onWidget(kind, handler) {
  handlers.set(kind, [...(handlers.get(kind) ?? []), handler]);
}

export function tellWidget(kind, data = {}) {
  if (isEmbedded && parent !== window) parent.postMessage({ fabra: kind, ...data }, siteOrigin);
}

/** Return what the widget says first, once it is there. */
export function greetWidget() {
  return new Promise((resolve) => {
    onWidget("begin", (data) => {
      isShown = data.isShown;
      resolve(data);
    });
    tellWidget("ready");
  });
}

/** Return whether the reader can see the page. */
export function isInView() {
  return !document.hidden && (isEmbedded ? isShown : document.hasFocus());
}

if (isEmbedded) {
  addEventListener("message", (event) => {
    if (event.source !== parent || event.origin !== siteOrigin || parent === window) return;
    const { fabra: kind, ...data } = event.data ?? {};
    if (kind === "shown" || kind === "hidden") isShown = kind === "shown";
    for (const handler of handlers.get(kind) ?? []) handler(data);
  });
}
