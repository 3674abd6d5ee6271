// Tells the widget why its frame has no chat, so that whoever builds the site learns the code.

const { code, siteOrigin } = document.body.dataset;
if (siteOrigin && parent !== window) parent.postMessage({ fabra: "failed", code }, siteOrigin);
