// The user whom somebody who may choose one chats as; the choice is stored for the next reload.

import { actAs } from "./api.js";
import { recallText, rememberText } from "./memory.js";

const $ = (id) => document.getElementById(id);

/** Return the chosen user's id, null where there is no choice; call `changed(id)` when another is chosen. */
export function chosenUser(changed) {
  if (!$("user")) return null;
  const before = [...$("user").options].find((option) => option.value === recallText("user"));
  if (before) before.selected = true;
  $("user").addEventListener("change", () => changed(choose()));
  return choose();
}

function choose() {
  const option = $("user").selectedOptions[0];
  const tier = option.dataset.tier ?? "";
  $("tier").textContent = tier;
  $("tier").dataset.tier = tier;
  $("tier").hidden = !tier;
  rememberText("user", option.value);
  actAs(option.value);
  return option.value;
}
