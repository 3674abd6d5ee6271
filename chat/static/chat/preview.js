// The page in the frame of a bot's form: it shows what is typed there, and does nothing else.

import { setOwnAccent } from "./accent.js";
import { el } from "./dom.js";

const $ = (id) => document.getElementById(id);
const saved = { name: $("brand-name").textContent, greeting: $("greeting").textContent, introduction: $("introduction").textContent, logo: $("logo").src };
const starters = [...$("examples").children];

document.body.inert = true;
$("welcome").hidden = false;

addEventListener("message", (event) => {
  if (event.source !== parent || event.origin !== location.origin) return;
  const { look } = event.data;
  $("brand-name").textContent = look.name || saved.name;
  $("title").textContent = look.name;
  $("title").classList.add("brand-alone");
  $("greeting").textContent = look.greeting || saved.greeting;
  $("introduction").textContent = look.introduction || saved.introduction;
  $("logo").src = look.logo ?? saved.logo;
  const shown = look.starters.length ? look.starters.map((text) => el("li", {}, el("button", { type: "button", class: "example" }, text))) : starters;
  $("examples").replaceChildren(...shown);
  $("examples").hidden = !shown.length;
  setOwnAccent(look.accent, look.accentDark);
});

parent.postMessage({ fabra: "preview" }, location.origin);
