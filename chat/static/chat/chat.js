// The chat page: the open conversation, the turn that is being answered, and the connection to the server.

import { idOfAddress, setAddress } from "./address.js";
import { ApiError, call } from "./api.js";
import { Asking } from "./asking.js";
import { chosenUser } from "./chosen_user.js";
import { Composer } from "./composer.js";
import { Connection, SIGNED_OUT } from "./connection.js";
import { el } from "./dom.js";
import { beginEmbedded, followWidget } from "./embed.js";
import { lastRead, rememberRead } from "./memory.js";
import { SAID_MS, tell } from "./notice.js";
import { Presence } from "./presence.js";
import { Sidebar } from "./sidebar.js";
import { isEmbedded, tellWidget } from "./site.js";
import { renewSession, sessionText } from "./site_session.js";
import { counted, errorText, t } from "./texts.js";
import { Thread } from "./thread.js";
import { showTrace } from "./trace.js";
import { clearUnread, noteArrival, onReturn } from "./unread.js";

const $ = (id) => document.getElementById(id);

await beginEmbedded();
const { userId: ownUserId, bot, botName, deadlineS, traceUrl } = document.body.dataset;

let userId = ownUserId;
let whenIdle = []; // who waits for the end of an answer
let conversationId = null;
let wasLost = false;
let begunWith = null; // the session that the connection was opened with
let opened = 0;
let isLoaded = true; // what the server has stored of the conversation is shown
let title = ""; // of an opened conversation that is too old for the list

const thread = new Thread($("log"), {
  trace: traceUrl ? (id) => showTrace(id, traceUrl) : null,
  // A question whose answer is whole stays, and is asked once more below it.
  retry: (turn) => (turn.state === "done" ? ask(turn.question) : asking.retry(turn)),
  edit: (turn) => composer.prepend(turn.question),
  person: () => presence.isWithPerson || askForPerson(),
});
const presence = new Presence($("presence"), $("person"), $("withdraw"));
const composer = new Composer({ send: ask, stop: () => asking.stop(), typing: () => presence.typed(() => connection.send({ type: "typing" })) });
const sidebar = new Sidebar({
  open: (id) => open(id, { isPushed: true }),
  removed: (id) => id === conversationId && startNew({ isPushed: false }),
  changed: showTitle,
});

// ---------------------------------------------------------------- the open conversation

/** Leave the open conversation, and show an empty one. */
function reset(id) {
  asking.leave();
  clearUnread();
  conversationId = id;
  opened += 1;
  isLoaded = !id;
  title = "";
  thread.clear();
  presence.set("bot", null);
  $("earlier").hidden = true;
  composer.open(id);
  sidebar.select(id);
  refresh();
}

function startNew({ isPushed }) {
  leave({ isPushed });
  composer.focus();
}

function leave({ isPushed }) {
  reset(null);
  setAddress(null, { isPushed });
}

async function open(id, { isPushed }) {
  reset(id);
  if (isPushed) setAddress(id, { isPushed });
  const asked = opened;
  const path = `/api/conversations/${id}/`;
  try {
    const [conversation, page] = await Promise.all([call("GET", path), call("GET", `${path}messages/`, { params: { html: "true" } })]);
    if (asked !== opened) return;
    title = conversation.title;
    presence.set(conversation.state, conversation.agent);
    for (const message of page.messages) thread.absorb(message);
    $("earlier").hidden = !page.has_earlier;
    if (conversation.state !== "person") thread.closeQuestions(Number(deadlineS));
    isLoaded = true;
    showWhatIsNew();
    subscribe();
  } catch (error) {
    if (asked !== opened) return;
    if (error instanceof ApiError && error.status === 404) {
      // Of what was open on a site's page before, another reader is told nothing.
      if (isEmbedded && !isPushed) return void leave({ isPushed });
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
  if (conversationId && isLoaded) connection.send({ type: "open", conversation_id: conversationId, user_id: userId, after: thread.newest });
}

// ---------------------------------------------------------------- asking

function ask(question) {
  const turn = asking.ask(question);
  // Scroll the question to the top, so that a long answer can be read from its beginning.
  if (turn) thread.scrollTo(turn, { block: "start", behavior: isCalm() ? "auto" : "smooth" });
}

async function askForPerson() {
  if (!conversationId || presence.isClosed) {
    askInWords();
    return;
  }
  $("person").disabled = true;
  try {
    const state = await call("POST", `/api/conversations/${conversationId}/escalate/`, { body: {} });
    if (state?.state) changePresence(state.state, state.agent);
    subscribe();
  } catch (error) {
    $("person").disabled = false;
    if (error.code === "conversation_state") askInWords(); // it was closed meanwhile
    else tell(errorText(error), 2 * SAID_MS);
  }
}

/** Ask by a message, which the server understands: it begins a conversation where there is none that goes on. */
function askInWords() {
  if (asking.isBusy) whenIdle.push(askForPerson);
  else ask(t("want_person"));
}

/** Take back the wish for a person, while nobody has come. */
async function goOnWithoutPerson() {
  $("withdraw").disabled = true;
  try {
    const state = await call("POST", `/api/conversations/${conversationId}/withdraw/`, { body: {} });
    changePresence(state.state, state.agent);
    composer.focus();
  } catch (error) {
    $("withdraw").disabled = false;
    tell(errorText(error), 2 * SAID_MS);
  }
}

// ---------------------------------------------------------------- messages from the server

const receive = {
  message({ conversation_id: id, message }) {
    if (id !== conversationId || !thread.absorb(message)) return;
    if (message.role !== "user") {
      presence.arrived();
      noteArrival(id, message.id);
      tellOfMessage(id, message);
      thread.scrollToEnd();
    }
    refresh();
    sidebar.load();
  },
  state({ conversation_id: id, state, agent, is_here: isHere }) {
    if (id === conversationId) changePresence(state, agent, isHere);
  },
  typing({ conversation_id: id, author }) {
    if (id === conversationId) presence.showTyping(author);
  },
};

const sockets = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${document.body.dataset.root}ws/`;
const socketUrl = sockets + (isEmbedded ? "embed" : `chat?bot=${encodeURIComponent(bot)}`);
const connection = new Connection(socketUrl, {
  greeting: isEmbedded ? () => ({ type: "begin", session: (begunWith = sessionText()), language: document.documentElement.lang }) : null,
  open() {
    if (wasLost) tell(t("back"), SAID_MS);
    wasLost = false;
    subscribe();
    asking.connected();
  },
  message(data) {
    if (!asking.receive(data)) receive[data.type](data);
  },
  lost(waitMs) {
    wasLost = true;
    asking.lost();
    presence.lost();
    const wait = waitMs > 1500 ? t("next_try", { count: Math.round(waitMs / 1000) }) : t("connecting");
    tell([`${t("lost")} ${wait} `, el("button", { type: "button", class: "link", onclick: () => connection.hurry() }, t("try_now"))]);
  },
  async refused(code) {
    if (isEmbedded && (await renewed())) {
      connection.open();
      return;
    }
    const words = t(isEmbedded ? "unavailable" : code === SIGNED_OUT ? "signed_out" : "rights_changed");
    asking.fail({ message: words });
    if (isEmbedded) return void tell(words);
    tell([`${words} `, el("a", { href: location.href }, t("reload"))]);
  },
});

const asking = new Asking({
  thread,
  connection,
  deadlineS: Number(deadlineS),
  on: {
    context: () => ({ user_id: userId, conversation_id: conversationId }),
    began,
    answered(result) {
      if (result.conversation_id) began(result.conversation_id);
      if (result.message_id) {
        noteArrival(conversationId, result.message_id);
        tellOfMessage(conversationId, { id: result.message_id, role: result.role });
      }
      if (result.state) changePresence(result.state, result.agent ?? presence.agent);
      sidebar.load();
    },
    changed: refresh,
  },
});

/** The conversation got its id, or a new one since the old is closed. */
function began(id, questionId) {
  if (questionId) tellOfMessage(id, { id: questionId, role: "user" });
  if (id === conversationId) return;
  conversationId = id;
  presence.set("bot", null); // its predecessor may be closed
  setAddress(id, { isPushed: false });
  sidebar.select(id);
  composer.continueIn(id);
  sidebar.load();
}

/** Show who answers now; the site around learns that a person was asked. */
function changePresence(state, agent, isHere) {
  if (state === "waiting" && !presence.isWithPerson) tellWidget("escalated", { conversation_id: conversationId });
  presence.set(state, agent, isHere);
}

/** Tell the site around what was said; a notice, such as that a person was asked, is not. */
function tellOfMessage(id, message) {
  if (message.role === "notice") return;
  tellWidget("message", { conversation_id: id, message_id: message.id, role: message.role });
}

/** Begin a new session in the place of one that has ended; return whether there is one. */
async function renewed() {
  asking.lost();
  return renewSession(begunWith).then(() => true, () => false);
}

// ---------------------------------------------------------------- rendering

function refresh() {
  $("welcome").hidden = !thread.isEmpty || Boolean(conversationId);
  composer.setBusy(asking.isBusy);
  if (!asking.isBusy) for (const go of whenIdle.splice(0)) go();
  showTitle();
}

function showTitle() {
  $("title").classList.toggle("brand-alone", !conversationId && !isEmbedded);
  $("title").textContent = (conversationId && (sidebar.titleOf(conversationId) ?? title)) || (isEmbedded || botName ? t("page_title") : "");
}

function isCalm() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

// ---------------------------------------------------------------- the beginning

function openAddress() {
  const id = idOfAddress();
  if (id) return open(id, { isPushed: false });
  reset(null);
  return undefined;
}

addEventListener("popstate", openAddress);
addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open]")) return;
  if (asking.isBusy) asking.stop();
  else tellWidget("close");
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
$("withdraw").addEventListener("click", goOnWithoutPerson);
$("earlier").addEventListener("click", showEarlier);
$("examples").addEventListener("click", ({ target }) => {
  const example = target.closest(".example");
  if (!example) return;
  ask(example.textContent);
  composer.focus();
});
followWidget({
  whenIdle: () => (asking.isBusy ? new Promise((resolve) => whenIdle.push(resolve)) : Promise.resolve()),
  focus: () => composer.focus(),
  close: () => tellWidget("close"),
});
userId = chosenUser((chosen) => {
  userId = chosen;
  startNew({ isPushed: true });
  sidebar.load();
}) ?? userId;
sidebar.load();
openAddress();
connection.open();
