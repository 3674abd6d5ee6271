// The line below the top: what became of the connection, and what was just done.

export const SAID_MS = 2500;
let timer = null;

/** Show words, and nodes among them; good news go away after `forMs`, a problem stays until it is over. */
export function tell(words, forMs) {
  const line = document.getElementById("connection");
  clearTimeout(timer);
  line.replaceChildren(...[words].flat());
  line.hidden = false;
  line.classList.toggle("good", Boolean(forMs));
  if (forMs) timer = setTimeout(() => (line.hidden = true), forMs);
}
