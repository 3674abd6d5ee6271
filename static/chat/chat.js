// The chat page: the conversation, the connection to the server, and the form.

import { Connection } from "./connection.js";
import { el } from "./dom.js";
import { recall, recallText, remember, rememberText } from "./memory.js";
import { isOpen, paintAnswer, turnElement } from "./turn.js";

const STOP_PATIENCE_MS = 3000;
const BACK_AGAIN_MS = 2500;
// `html` is the server's HTML of the text's first `rendered` UTF-16 units.
const NOTHING_YET = {
  state: "waiting", text: "", html: "", rendered: 0, result: undefined, error: undefined, contextId: undefined,
};
const $ = (id) => document.getElementById(id);
const { userId: ownUserId, maxChars, deadlineS, traceUrl } = document.body.dataset;
const page = { traceUrl, retry, edit };

let userId = ownUserId;
let conversationId = null;
let turns = [];
let active = null; // the turn that is being answered or waits for the connection
let watchdog = null;
let wasLost = false;
const articles = new Map();

// ---------------------------------------------------------------- the conversation

function show(nextUserId) {
  userId = nextUserId;
  ({ conversationId, turns } = recall(userId));
  for (const turn of turns) {
    if (!isOpen(turn)) continue;
    turn.state = "error";
    turn.error = { message: "The page was left before the answer was complete." };
  }
  articles.clear();
  $("log").replaceChildren(...turns.map(articleOf));
  refresh();
  articles.get(turns.at(-1))?.scrollIntoView({ block: "start" });
}

function articleOf(turn) {
  const article = turnElement(turn, page);
  articles.set(turn, article);
  return article;
}

function ask(question) {
  const turn = { question, ...NOTHING_YET };
  turns.push(turn);
  $("log").append(articleOf(turn));
  begin(turn);
  // Scroll the question to the top, so that a long answer can be read from its beginning.
  articles.get(turn).scrollIntoView({ block: "start", behavior: isCalm() ? "auto" : "smooth" });
}

function begin(turn) {
  active = turn;
  Object.assign(turn, NOTHING_YET);
  submit();
}

function submit() {
  const data = { message: active.question, user_id: userId, conversation_id: conversationId };
  if (connection.send(data)) {
    active.state = "asked";
    watch();
  } else {
    connection.hurry();
  }
  repaint();
}

/** Fail the turn well after the server's own deadline, because a connection can be lost without a close event. */
function watch() {
  clearTimeout(watchdog);
  watchdog = setTimeout(() => {
    fail({ message: "The answer did not come in time." });
    connection.replace();
  }, (Number(deadlineS) + 10) * 1000);
}

function finish(state) {
  clearTimeout(watchdog);
  active.state = state;
  repaint();
  active = null;
  refresh();
}

function fail(error) {
  if (!active) return;
  active.error = error;
  finish("error");
}

function stop() {
  if (!active) return;
  if (active.state === "waiting") {
    finish("stopped");
    return;
  }
  if (active.isStopping) return;
  const turn = Object.assign(active, { isStopping: true });
  connection.send({ type: "stop" });
  // If the server does not confirm the stop, closing the socket stops the answer.
  setTimeout(() => turn === active && leave(), STOP_PATIENCE_MS);
}

/** Stop the active turn at once, without waiting for the server. */
function leave() {
  if (!active) return;
  const wasSent = active.state !== "waiting";
  finish("stopped");
  if (wasSent) connection.replace();
}

function retry(turn) {
  if (active) return;
  delete turn.isStopping;
  begin(turn);
}

function edit(turn) {
  const draft = $("message").value.trim();
  $("message").value = draft ? `${turn.question}\n${draft}` : turn.question;
  typed();
  $("message").focus();
}

// ---------------------------------------------------------------- messages from the server

const receive = {
  start(data) {
    conversationId = data.conversation_id;
    active.contextId = data.context_id;
    active.state = "answering";
    repaint();
  },
  delta(data) {
    active.text += data.text;
    paintSoon();
  },
  block({ html, length }) {
    active.html += html;
    active.rendered = length;
    paintSoon();
  },
  done({ context_used, response, html, ...result }) {
    Object.assign(active, { text: response, html, rendered: response.length, result, contextId: result.context_id });
    finish("done");
  },
  stopped() {
    finish("stopped");
  },
  error({ message, code, limits }) {
    const resets = Number(limits?.["X-RateLimit-Reset"]);
    fail({ message, code, limit: limits?.["X-RateLimit-Limit"], resetsAt: resets ? resets * 1000 : undefined });
  },
};

const connection = new Connection(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/chat`, {
  open() {
    if (wasLost) tell("Connected again.", BACK_AGAIN_MS);
    wasLost = false;
    if (active?.state === "waiting") submit();
  },
  message(data) {
    if (active) receive[data.type]?.(data);
  },
  lost(waitMs) {
    wasLost = true;
    if (active && active.state !== "waiting") {
      fail({ message: "The connection was lost before the answer was complete." });
    }
    const wait = waitMs > 1500 ? ` Next try in ${Math.round(waitMs / 1000)} seconds. ` : " Connecting again. ";
    tell(["Connection lost.", wait, el("button", { type: "button", class: "link", onclick: () => connection.hurry() }, "Try now")]);
  },
  refused(reason) {
    const words = reason || "You are no longer signed in.";
    fail({ message: words });
    tell([`${words} `, el("a", { href: location.href }, "Load the page again")]);
  },
});

let tellTimer = null;

function tell(words, forMs) {
  clearTimeout(tellTimer);
  $("connection").replaceChildren(...[words].flat());
  $("connection").hidden = false;
  $("connection").classList.toggle("good", Boolean(forMs));
  if (forMs) tellTimer = setTimeout(() => ($("connection").hidden = true), forMs);
}

// ---------------------------------------------------------------- rendering

let frame = null;

/** Render at most once per frame, because pieces may arrive faster than the screen can show them. */
function paintSoon() {
  frame ??= requestAnimationFrame(() => {
    frame = null;
    if (active) paintAnswer(articles.get(active), active, page);
  });
}

function repaint() {
  paintAnswer(articles.get(active), active, page);
  refresh();
}

function refresh() {
  remember(userId, { conversationId, turns });
  $("welcome").hidden = turns.length > 0;
  $("new").disabled = turns.length === 0;
  $("stop").hidden = !active;
  $("send").hidden = Boolean(active);
  typed();
}

function isCalm() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

// ---------------------------------------------------------------- the form

function typed() {
  const field = $("message");
  rememberText("draft", field.value);
  const length = [...field.value].length; // the server counts characters, not UTF-16 units
  const isTooLong = length > Number(maxChars);
  $("send").disabled = !field.value.trim() || isTooLong;
  $("count").hidden = length < 0.8 * maxChars;
  $("count").textContent = `${length.toLocaleString("en")} of ${Number(maxChars).toLocaleString("en")} characters`;
  $("count").classList.toggle("over", isTooLong);
  field.setAttribute("aria-invalid", String(isTooLong));
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  if (active || $("send").disabled) return;
  const question = $("message").value.trim();
  $("message").value = "";
  ask(question);
});
$("message").addEventListener("input", typed);
$("message").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("composer").requestSubmit();
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape") stop();
});
addEventListener("pagehide", () => remember(userId, { conversationId, turns }));
$("stop").addEventListener("click", () => {
  stop();
  $("message").focus();
});
$("new").addEventListener("click", () => {
  leave();
  remember(userId, { conversationId: null, turns: [] });
  show(userId);
  $("message").focus();
});
for (const example of document.querySelectorAll(".example")) {
  example.addEventListener("click", () => {
    if (!active) ask(example.textContent);
    $("message").focus();
  });
}

/** Switch to the chosen user's own conversation, and store the choice for the next reload. */
function chooseUser() {
  const option = $("user").selectedOptions[0];
  const tier = option.dataset.tier ?? "";
  $("tier").textContent = tier;
  $("tier").dataset.tier = tier;
  $("tier").hidden = !tier;
  rememberText("user", option.value);
  leave();
  show(option.value);
}

$("message").value = recallText("draft");
new ResizeObserver(([entry]) => {
  document.documentElement.style.setProperty("--composer", `${entry.target.offsetHeight}px`);
}).observe($("composer"));
if ($("user")) {
  const before = [...$("user").options].find((option) => option.value === recallText("user"));
  if (before) before.selected = true;
  $("user").addEventListener("change", chooseUser);
  chooseUser();
} else {
  show(ownUserId);
}
connection.open();
