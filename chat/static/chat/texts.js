// The page's texts in the reader's language, and numbers and times as that language writes them.

const texts = JSON.parse(document.getElementById("texts").textContent);
const language = document.documentElement.lang;
const plurals = new Intl.PluralRules(language);

/** Return a text with its `{name}`s replaced. */
export function t(name, values = {}) {
  return texts[name].replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
}

/** Return the form of a text that fits the count. */
export function counted(name, count) {
  return t(`${name}_${plurals.select(count) === "one" ? "one" : "other"}`, { count: number(count) });
}

/** Return the sentence for an error by its code; the page's own errors have none, and bring theirs. */
export function errorText({ code, message }) {
  return texts[`error_${code}`] ?? (code ? t("error_other") : message);
}

/** Return a reason why a sentence is not supported, such as "number 30", in the reader's language. */
export function reasonText(reason) {
  const [kind, ...what] = reason.split(" ");
  return texts[`reason_${kind}`] ? t(`reason_${kind}`, { what: what.join(" ") }) : reason;
}

export function number(value) {
  return Number(value).toLocaleString(language);
}

export function clock(time) {
  return new Date(time).toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit" });
}

/** Return a time of today, else the date. */
export function shortTime(iso) {
  const time = new Date(iso);
  const now = new Date();
  if (time.toDateString() === now.toDateString()) return clock(time);
  const year = time.getFullYear() === now.getFullYear() ? undefined : "numeric";
  return time.toLocaleDateString(language, { day: "numeric", month: "short", year });
}
