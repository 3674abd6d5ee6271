// The chat page: the open conversation, the turn that is being answered, and the connection to the server.

import { actAs, ApiError, call } from "./api.js";
import { Composer } from "./composer.js";
import { Connection } from "./connection.js";
import { el } from "./dom.js";
import { lastRead, recallText, rememberRead, rememberText } from "./memory.js";
import { Presence } from "./presence.js";
import { Sidebar } from "./sidebar.js";
import { counted, errorText, t } from "./texts.js";
import { NOTHING_YET, Thread } from "./thread.js";
import { showTrace } from "./trace.js";
import { clearUnread, noteArrival, onReturn } from "./unread.js";

const STOP_PATIENCE_MS = 3000;
const SAID_MS = 2500;
const $ = (id) => document.getElementById(id);
const { userId: ownUserId, deadlineS, traceUrl } = document.body.dataset;

let userId = ownUserId;
let conversationId = null;
let active = null; // the turn that is being answered or waits for the connection
let isDraining = false; // the end of an answer that nobody waits for any more is still to come
let watchdog = null;
let wasLost = false;
let opened = 0;

const thread = new Thread($("log"), { trace: traceUrl ? (id) => showTrace(id, traceUrl) : null, retry, edit: (turn) => composer.prepend(turn.question) });
const presence = new Presence($("presence"), $("person"));
const composer = new Composer({ send: ask, stop, typing: () => presence.typed(() => connection.send({ type: "typing" })) });
const sidebar = new Sidebar({
  open: (id) => open(id, { isPushed: true }),
  removed: (id) => id === conversationId && startNew({ isPushed: false }),
  changed: showTitle,
});

// ---------------------------------------------------------------- the open conversation

function address(id) {
  return id ? `?conversation=${id}` : location.pathname;
}

/** Leave the open conversation, and show an empty one. */
function reset(id) {
  leave();
  clearUnread();
  conversationId = id;
  opened += 1;
  thread.clear();
  presence.set("bot", null);
  $("earlier").hidden = true;
  composer.open(id);
  sidebar.select(id);
  refresh();
}

function startNew({ isPushed }) {
  reset(null);
  history[isPushed ? "pushState" : "replaceState"](null, "", address(null));
  composer.focus();
}

async function open(id, { isPushed }) {
  reset(id);
  if (isPushed) history.pushState(null, "", address(id));
  const asked = opened;
  const path = `/api/conversations/${id}/`;
  try {
    const [conversation, page] = await Promise.all([call("GET", path), call("GET", `${path}messages/`, { params: { html: "true" } })]);
    if (asked !== opened) return;
    presence.set(conversation.state, conversation.agent);
    for (const message of page.messages) thread.absorb(message);
    $("earlier").hidden = !page.has_earlier;
    if (conversation.state !== "person") thread.closeQuestions(Number(deadlineS));
    showWhatIsNew();
    subscribe();
  } catch (error) {
    if (asked !== opened) return;
    if (error instanceof ApiError && error.status === 404) {
      startNew({ isPushed: false });
      tell(t("gone"), 2 * SAID_MS);
    } else {
      tell([`${t("not_loaded")} ${errorText(error)} `, el("button", { type: "button", class: "link", onclick: () => open(id, { isPushed: false }) }, t("retry"))]);
    }
  }
  refresh();
}

function showWhatIsNew() {
  const read = lastRead(conversationId);
  const marked = read === null ? null : thread.markUnread(read);
  if (marked) marked.scrollIntoView({ block: "center" });
  else thread.scrollToEnd();
  if (!document.hidden) rememberRead(conversationId, thread.newest);
}

async function showEarlier() {
  const page = await call("GET", `/api/conversations/${conversationId}/messages/`, { params: { before: thread.oldest, html: "true" } });
  const height = document.documentElement.scrollHeight;
  thread.prepend(page.messages);
  $("earlier").hidden = !page.has_earlier;
  scrollBy(0, document.documentElement.scrollHeight - height); // what was read stays where it was
}

/** Ask the server for what is said from now on, and for what was missed. */
function subscribe() {
  if (conversationId) connection.send({ type: "open", conversation_id: conversationId, user_id: userId, after: thread.newest });
}

// ---------------------------------------------------------------- asking

function ask(question) {
  if (active) return;
  begin(thread.add({ ...NOTHING_YET, question }));
  // Scroll the question to the top, so that a long answer can be read from its beginning.
  thread.scrollTo(active, { block: "start", behavior: isCalm() ? "auto" : "smooth" });
}

function begin(turn) {
  active = turn;
  // What is sent again under the same id, because its arrival is unknown, is one message for the server.
  Object.assign(turn, NOTHING_YET, { clientId: newId(), questionId: undefined, isStopping: false });
  submit();
}

function submit() {
  const data = { message: active.question, user_id: userId, conversation_id: conversationId, client_id: active.clientId };
  if (!isDraining && connection.send(data)) {
    active.state = "asked";
    watch();
  } else {
    connection.hurry();
  }
  thread.paint(active);
  refresh();
}

/** Fail the turn well after the server's own deadline, because a connection can be lost without a close event. */
function watch() {
  clearTimeout(watchdog);
  watchdog = setTimeout(() => {
    fail({ message: t("too_late") });
    connection.replace();
  }, (Number(deadlineS) + 10) * 1000);
}

function finish(state) {
  clearTimeout(watchdog);
  active.state = state;
  thread.paint(active);
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
  setTimeout(() => {
    if (turn !== active) return;
    finish("stopped");
    connection.replace();
  }, STOP_PATIENCE_MS);
}

/** Stop the active turn, and wait for nothing: the server stores what was received of it. */
function leave() {
  if (!active) return;
  if (active.state !== "waiting") {
    isDraining = connection.send({ type: "stop" });
  }
  finish("stopped");
}

function retry(turn) {
  if (!active) begin(turn);
}

async function askForPerson() {
  if (!conversationId) {
    ask(t("want_person")); // which the server understands, and which begins the conversation
    return;
  }
  $("person").disabled = true;
  try {
    const state = await call("POST", `/api/conversations/${conversationId}/escalate/`, { body: {} });
    if (state?.state) presence.set(state.state, state.agent);
    subscribe();
  } catch (error) {
    $("person").disabled = false;
    tell(errorText(error), 2 * SAID_MS);
  }
}

// ---------------------------------------------------------------- messages from the server

const receive = {
  start(data) {
    if (!active) return;
    const isNew = conversationId !== data.conversation_id;
    active.contextId = data.context_id ?? undefined;
    active.state = "answering";
    thread.paint(active);
    if (isNew) became(data.conversation_id);
  },
  delta(data) {
    if (!active) return;
    active.text += data.text;
    paintSoon();
  },
  block({ html, length }) {
    if (!active) return;
    active.html += html;
    active.rendered = length;
    paintSoon();
  },
  done: (data) => complete(data, "done"),
  stopped: (data) => complete(data, "stopped"),
  error({ message, code, limits }) {
    const resets = Number(limits?.["X-RateLimit-Reset"]);
    fail({ message, code, limit: limits?.["X-RateLimit-Limit"], resetsAt: resets ? resets * 1000 : undefined });
  },
  message({ conversation_id: id, message }) {
    if (id !== conversationId || !thread.absorb(message)) return;
    if (message.role === "user") settle(message);
    else {
      presence.arrived();
      noteArrival(id, message.id);
      thread.scrollToEnd();
    }
    refresh();
    sidebar.load();
  },
  state({ conversation_id: id, state, agent }) {
    if (id === conversationId) presence.set(state, agent);
  },
  typing({ conversation_id: id, author }) {
    if (id === conversationId) presence.showTyping(author);
  },
};
const LAST = new Set(["done", "stopped", "error"]);

/** The conversation got its id, or a new one since the old is closed. */
function became(id) {
  conversationId = id;
  history.replaceState(null, "", address(id));
  sidebar.select(id);
  composer.open(id);
  subscribe();
  sidebar.load();
}

function complete({ context_used, response, html, ...result }, state) {
  if (!active) return;
  if (result.conversation_id && result.conversation_id !== conversationId) became(result.conversation_id);
  if (response !== undefined) {
    Object.assign(active, { text: response, html, rendered: response.length, result, contextId: result.context_id ?? undefined, messageId: result.message_id });
    thread.hasStored(result.message_id, { id: result.message_id, role: "assistant" });
    if (result.message_id) noteArrival(conversationId, result.message_id);
  }
  if (result.state) presence.set(result.state, result.agent);
  finish(response === "" && state === "done" ? "said" : state);
  sidebar.load();
}

/** A person answers the question that this page has sent: the bot is silent. */
function settle(message) {
  if (active && message.client_id === active.clientId && presence.isWithPerson && active.state === "asked") finish("said");
}

const connection = new Connection(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/chat`, {
  open() {
    if (wasLost) tell(t("back"), SAID_MS);
    wasLost = isDraining = false;
    subscribe();
    if (active?.state === "waiting") submit();
  },
  message(data) {
    if (isDraining && !["message", "state", "typing"].includes(data.type)) {
      if (!LAST.has(data.type)) return;
      isDraining = false;
      if (active?.state === "waiting") submit();
      return;
    }
    receive[data.type]?.(data);
  },
  lost(waitMs) {
    wasLost = true;
    if (active?.state === "asked") {
      active.state = "waiting"; // whether it arrived is not known: it is sent again under the same id
      thread.paint(active);
    } else if (active?.state === "answering") {
      fail({ message: t("lost_early") });
    }
    const wait = waitMs > 1500 ? t("next_try", { count: Math.round(waitMs / 1000) }) : t("connecting");
    tell([`${t("lost")} ${wait} `, el("button", { type: "button", class: "link", onclick: () => connection.hurry() }, t("try_now"))]);
  },
  refused(reason) {
    const words = reason || t("signed_out");
    fail({ message: words });
    tell([`${words} `, el("a", { href: location.href }, t("reload"))]);
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
    if (active) thread.paint(active);
  });
}

function refresh() {
  $("welcome").hidden = !thread.isEmpty || Boolean(conversationId);
  composer.setBusy(Boolean(active));
  showTitle();
}

function showTitle() {
  $("title").textContent = (conversationId && sidebar.titleOf(conversationId)) || "";
}

function isCalm() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

function newId() {
  // randomUUID needs HTTPS or localhost.
  return crypto.randomUUID?.() ?? "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (digit) => (digit ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (digit / 4)))).toString(16));
}

// ---------------------------------------------------------------- the beginning

/** Act as the chosen user, and store the choice for the next reload. */
function chooseUser() {
  const option = $("user").selectedOptions[0];
  const tier = option.dataset.tier ?? "";
  $("tier").textContent = tier;
  $("tier").dataset.tier = tier;
  $("tier").hidden = !tier;
  rememberText("user", option.value);
  userId = option.value;
  actAs(userId);
}

function idOfAddress() {
  const id = new URLSearchParams(location.search).get("conversation");
  return /^[1-9]\d{0,15}$/.test(id ?? "") ? Number(id) : null;
}

function openAddress() {
  const id = idOfAddress();
  if (id) return open(id, { isPushed: false });
  reset(null);
  return undefined;
}

addEventListener("popstate", openAddress);
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) stop();
});
onReturn((count) => {
  if (!conversationId) return;
  showWhatIsNew();
  tell(counted("unread", count), SAID_MS);
});
$("new").addEventListener("click", () => {
  sidebar.close();
  startNew({ isPushed: true });
});
$("person").addEventListener("click", askForPerson);
$("earlier").addEventListener("click", showEarlier);
for (const example of document.querySelectorAll(".example")) {
  example.addEventListener("click", () => {
    ask(example.textContent);
    composer.focus();
  });
}
if ($("user")) {
  const before = [...$("user").options].find((option) => option.value === recallText("user"));
  if (before) before.selected = true;
  $("user").addEventListener("change", () => {
    chooseUser();
    startNew({ isPushed: true });
    sidebar.load();
  });
  chooseUser();
}
sidebar.load();
openAddress();
connection.open();
