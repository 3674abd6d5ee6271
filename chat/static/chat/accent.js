// A site's own colour in the page. What is derived from it keeps the contrast that a reader needs (WCAG 2.2, 1.4.3).

const LEAST = 4.6; // a little above 4.5, because the colours are rounded
const STEPS = 20;
const dark = matchMedia("(prefers-color-scheme: dark)");
let own = document.body.dataset.accent; // the bot's, and its own for the dark, if it has one
let ownDark = document.body.dataset.accentDark;
let chosen = null;

/** Show a colour, in any form of CSS; without one, or with what is none, the bot's, or the page's own. */
export function setAccent(colour) {
  chosen = colour && CSS.supports("color", colour) ? colour : null;
  paint();
}

/** Change the bot's own colours. */
export function setOwnAccent(light, inDark) {
  [own, ownDark] = [light, inDark];
  paint();
}

dark.addEventListener("change", paint);
paint();

function paint() {
  const style = document.documentElement.style;
  for (const name of ["--accent", "--on-accent", "--accent-soft", "--accent-text", "--bar", "--on-bar"]) style.removeProperty(name);
  const shown = chosen || (dark.matches && ownDark) || own;
  if (!shown) return;
  const accent = computed(shown);
  const page = computed("var(--page)");
  const far = dark.matches ? [255, 255, 255] : [0, 0, 0];
  const soft = mix(accent, page, 0.86);
  const seen = until(accent, far, (colour) => contrast(colour, page) >= 3.1);
  const text = until(accent, far, (colour) => contrast(colour, page) >= LEAST && contrast(colour, soft) >= LEAST);
  style.setProperty("--bar", css(accent));
  style.setProperty("--on-bar", css(readable(accent)));
  style.setProperty("--accent", css(seen));
  style.setProperty("--on-accent", css(readable(seen)));
  style.setProperty("--accent-soft", css(soft));
  style.setProperty("--accent-text", css(text));
}

/** Return a colour's red, green and blue (0 to 255), as the browser computes it. */
function computed(colour) {
  const probe = document.createElement("span");
  probe.style.color = colour;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  const parts = (value.match(/[\d.]+/g) ?? [0, 0, 0]).slice(0, 3).map(Number);
  return value.startsWith("color(") ? parts.map((part) => part * 255) : parts;
}

function until(colour, towards, isGood) {
  for (let step = 0; step < STEPS; step += 1) {
    const mixed = mix(colour, towards, step / STEPS);
    if (isGood(mixed)) return mixed;
  }
  return towards;
}

function mix(one, other, share) {
  return one.map((part, place) => part * (1 - share) + other[place] * share);
}

function readable(background) {
  const light = [255, 255, 255];
  const deep = [16, 24, 29];
  return contrast(light, background) >= contrast(deep, background) ? light : deep;
}

function contrast(one, other) {
  const [less, more] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (more + 0.05) / (less + 0.05);
}

function luminance(colour) {
  const [r, g, b] = colour.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function css(colour) {
  return `rgb(${colour.map(Math.round).join(" ")})`;
}
