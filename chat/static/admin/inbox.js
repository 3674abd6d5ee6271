/* The agents' inbox: the server renders each part; this fetches a part again when its socket says that it is outdated. */

const root = document.querySelector("[data-inbox]");
const list = root.querySelector("[data-list]");
const main = root.querySelector("[data-main]");
const dialog = document.querySelector("[data-close-dialog]");
const passDialog = document.querySelector("[data-pass-dialog]");
const title = document.title;
const POLL_MS = 20000;
const POLL_OFFLINE_MS = 4000;
const TYPING_MS = 2500;
const TYPING_SHOWN_MS = 5000;
const ACTIVE_SENT_EVERY_MS = 30000;
const IDLE_AFTER_MS = 300000;

let openId = Number(root.dataset.open) || null;
let known = null; // what was in the list when it was fetched last: ids of one's own, and each customer's last message
let taken = null; // the conversation that was just taken over here
let socket = null;
let retryMs = 500;
let refusal = ""; // why the last action was not done; a conversation that is drawn anew shows it again
let lastTyped = 0;
let lastUsed = Date.now();
let activeSentAt = 0;

// The cookie's, which a sign-in in another tab renews; the page's where the project keeps it elsewhere.
const csrf = () => document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1] ?? root.dataset.csrf;
const drafts = {
    key: (id) => `inbox-draft-${id}`,
    load: (id) => sessionStorage.getItem(drafts.key(id)) ?? "",
    save: (id, text) => (text ? sessionStorage.setItem(drafts.key(id), text) : sessionStorage.removeItem(drafts.key(id))),
};

// ---------------------------------------------------------------- the server

/** Return the answer's JSON, or throw an Error whose message can be shown. */
async function ask(url, options = {}) {
    let response;
    try {
        response = await fetch(url, options);
    } catch {
        throw new Error("The server does not answer. Nothing was sent.");
    }
    const isJson = response.headers.get("content-type")?.includes("json");
    if (response.ok && isJson && !response.redirected) return response.json();
    const words = isJson ? (await response.json()).error?.message : undefined;
    const error = new Error(words ?? (response.status === 403 || response.redirected ? "You may not do this, or are no longer signed in." : "This did not work; try again."));
    throw Object.assign(error, { status: response.status });
}

function post(url, fields) {
    return ask(url, { method: "POST", body: new URLSearchParams(fields), headers: { "X-CSRFToken": csrf() } });
}

// ---------------------------------------------------------------- the list

/** Return what the server says of the list and of the open conversation. */
async function refreshList() {
    const found = await ask(`${root.dataset.listUrl}?conversation=${openId ?? ""}`);
    const focused = list.contains(document.activeElement) ? document.activeElement.dataset.openConversation : null;
    list.innerHTML = found.html;
    if (focused) list.querySelector(`[data-open-conversation="${focused}"]`)?.focus({ preventScroll: true });
    if (known && isNews(found)) beep();
    known = { mine: found.mine, newest: found.newest };
    document.title = found.pending ? `(${found.pending}) ${title}` : title;
    return found;
}

/** Return whether a customer who waits, or is one's own, has written, or a conversation has come; not what is being read. */
function isNews({ mine, newest }) {
    const isRead = (id) => Number(id) === openId && document.hasFocus();
    const hasMessage = Object.entries(newest).some(([id, message]) => message > (known.newest[id] ?? -1) && !isRead(id));
    return hasMessage || mine.some((id) => !known.mine.includes(id) && id !== taken && !isRead(id));
}

const sound = root.querySelector("[data-sound]");
let audio = null;

/** Browsers let a page make sounds after a gesture only. */
function unlockSound() {
    audio ??= new AudioContext();
    if (audio.state === "suspended") audio.resume().catch(() => {});
}

for (const kind of ["pointerdown", "keydown"]) addEventListener(kind, unlockSound, { capture: true, passive: true });

function beep() {
    root.dataset.beeps = Number(root.dataset.beeps ?? 0) + 1;
    if (sound.getAttribute("aria-pressed") !== "true" || audio?.state !== "running") return;
    const tone = audio.createOscillator();
    const volume = audio.createGain();
    volume.gain.setValueAtTime(0.08, audio.currentTime);
    volume.gain.exponentialRampToValueAtTime(0.001, audio.currentTime + 0.35);
    tone.frequency.value = 660;
    tone.connect(volume).connect(audio.destination);
    tone.start();
    tone.stop(audio.currentTime + 0.35);
}

function setSound(isOn) {
    sound.setAttribute("aria-pressed", String(isOn));
    sound.firstElementChild.textContent = isOn ? "notifications_active" : "notifications_off";
    localStorage.setItem("inbox-sound", isOn ? "on" : "off");
}

setSound(localStorage.getItem("inbox-sound") !== "off");
sound.addEventListener("click", () => setSound(sound.getAttribute("aria-pressed") !== "true"));

// ---------------------------------------------------------------- the open conversation

const talk = () => main.querySelector("[data-conversation]");

async function open(id, { isBack = false } = {}) {
    openId = id;
    isCustomerHere = null;
    refusal = "";
    endTyping();
    root.classList.toggle("fb-is-open", id !== null);
    if (!isBack) history.pushState({}, "", id ? `?conversation=${id}` : location.pathname);
    for (const row of list.querySelectorAll("[data-open-conversation]")) {
        row.toggleAttribute("aria-current", Number(row.dataset.openConversation) === id);
    }
    tellServer({ type: "open", conversation_id: id });
    if (id) await refreshConversation({ isAnswered: true });
}

/** Draw the open conversation anew; `isAnswered` puts the focus into the answer, else it stays where it is. */
async function refreshConversation({ isAnswered = false } = {}) {
    const id = openId;
    try {
        const found = await ask(`${root.dataset.listUrl.replace("list/", "")}${id}/`);
        if (id !== openId) return;
        const back = focusIn(main);
        draw(id, found.html);
        showConversation();
        const answer = isAnswered && main.querySelector("#answer");
        if (answer) answer.focus();
        else back();
    } catch (error) {
        if (id !== openId) return;
        if (error.status === 404) showGone();
        else showError(error.message);
    }
}

/** Put the HTML of a conversation into the page; what somebody searches or reads beside it stays. */
function draw(id, html) {
    const fresh = document.createElement("template");
    fresh.innerHTML = html;
    const shown = talk();
    const side = main.querySelector(".fb-inbox-side");
    const isUsed = side?.contains(document.activeElement) || side?.querySelector("[data-found]")?.childElementCount;
    if (Number(shown?.dataset.conversation) === id && isUsed) shown.replaceWith(fresh.content.querySelector("[data-conversation]"));
    else main.replaceChildren(fresh.content);
}

/** Return a function that gives the focus back to the same element of a part that was drawn anew. */
function focusIn(part) {
    const at = document.activeElement;
    if (!part.contains(at)) return () => {};
    const kept = ["data-act", "data-pass", "data-close", "data-log"].find((name) => at.hasAttribute(name));
    const where = at.id ? `#${at.id}` : kept && `[${kept}="${CSS.escape(at.getAttribute(kept))}"]`;
    const { selectionStart, selectionEnd } = at;
    return () => {
        if (at.isConnected) return;
        const again = (where && part.querySelector(where)) || part.querySelector("[data-log]");
        again?.focus({ preventScroll: true });
        if (again?.id === at.id && selectionStart !== undefined) again.setSelectionRange(selectionStart, selectionEnd);
    };
}

/** Leave the open conversation: its customer has deleted it. */
function showGone() {
    drafts.save(openId, "");
    open(null);
    main.replaceChildren(root.querySelector("[data-gone]").content.cloneNode(true));
    refreshList().catch(() => {});
}

function showConversation() {
    showCustomer();
    showTyping();
    showError(refusal);
    const field = main.querySelector("#answer");
    if (field) field.value = drafts.load(openId);
    const log = main.querySelector("[data-log]");
    if (log) log.scrollTop = log.scrollHeight;
}

let isFetching = false;
let isOutdated = false;

/** Fetch what was said since; one request at a time, so that nothing is shown twice. */
async function refreshMessages() {
    isOutdated = true;
    if (isFetching) return;
    isFetching = true;
    try {
        while (isOutdated && openId) {
            isOutdated = false;
            const log = main.querySelector("[data-log]");
            if (!log) return;
            const found = await ask(`${log.dataset.messagesUrl}?after=${log.dataset.last}`);
            if (!log.isConnected || String(found.last) === log.dataset.last) continue;
            const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
            log.dataset.last = found.last;
            log.querySelector("[data-messages]").insertAdjacentHTML("beforeend", found.html);
            if (/fb-from-(user|agent)/.test(found.html)) endTyping();
            if (isAtEnd) log.scrollTop = log.scrollHeight;
        }
    } finally {
        isFetching = false;
    }
}

let typing = ""; // who types; it outlives a conversation that is drawn anew
let typingTimer = null;

/** `author` is another agent, or null for the customer. */
function noteTyping(author) {
    typing = `${author ?? "The customer"} is typing`;
    clearTimeout(typingTimer);
    typingTimer = setTimeout(endTyping, TYPING_SHOWN_MS);
    showTyping();
}

function endTyping() {
    clearTimeout(typingTimer);
    typing = "";
    showTyping();
}

function showTyping() {
    const line = main.querySelector("[data-typing]");
    if (!line) return;
    const log = main.querySelector("[data-log]");
    const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
    line.textContent = typing;
    line.hidden = !typing;
    if (isAtEnd) log.scrollTop = log.scrollHeight;
}

let isCustomerHere = null; // null: not known

function showCustomer() {
    const badge = main.querySelector("[data-customer]");
    if (!badge) return;
    badge.hidden = isCustomerHere === null;
    badge.textContent = isCustomerHere ? "has the chat open" : "is not in the chat";
    badge.className = `fb-badge ${isCustomerHere ? "fb-good" : "fb-plain"}`;
}

function showError(words) {
    const line = main.querySelector("[data-error]");
    if (!line) return;
    line.textContent = words;
    line.hidden = !words;
}

function refuse(words) {
    refusal = words;
    showError(words);
}

async function act(url, fields = {}) {
    refuse("");
    taken = openId;
    try {
        await post(url, fields);
    } catch (error) {
        refuse(error.message);
        await look(); // somebody else may have been first
        return;
    }
    await Promise.all([refreshConversation({ isAnswered: true }), refreshList()]);
}

async function choosePerson(url) {
    const people = passDialog.querySelector("[data-colleagues]");
    for (const old of people.querySelectorAll(":scope > :not(legend)")) old.remove();
    passDialog.returnValue = "";
    passDialog.dataset.url = url;
    try {
        people.insertAdjacentHTML("beforeend", (await ask(`${root.dataset.colleaguesUrl}?conversation=${openId}`)).html);
        passDialog.showModal();
    } catch (error) {
        showError(error.message);
    }
}

async function send(form) {
    const id = openId;
    const field = form.querySelector("textarea");
    const text = field.value.trim();
    if (!text) return;
    const button = form.querySelector("button");
    button.disabled = true;
    form.dataset.clientId ||= crypto.randomUUID(); // the same one for a second attempt, so that it is sent once
    refuse("");
    try {
        await post(form.dataset.answer, { text, client_id: form.dataset.clientId });
        delete form.dataset.clientId;
        drafts.save(id, "");
        // The conversation may have been drawn anew meanwhile, with the draft in another field, or not be open any more.
        const shown = openId === id ? main.querySelector("#answer") : null;
        if (shown?.value.trim() === text) shown.value = "";
        await Promise.all([refreshMessages(), refreshList()]);
    } catch (error) {
        refuse(error.message);
    } finally {
        button.disabled = false;
        if (field.isConnected) field.focus();
    }
}

async function search(form) {
    const found = main.querySelector("[data-found]");
    try {
        found.innerHTML = (await ask(`${root.dataset.passagesUrl}?${new URLSearchParams(new FormData(form))}`)).html;
    } catch (error) {
        found.textContent = error.message;
    }
}

/** Put a passage into the answer as paragraphs of its own, without the headings above it. */
function insert(passage) {
    const field = main.querySelector("#answer");
    if (!field) {
        showError("Take the conversation over first.");
        return;
    }
    const text = passage.trim().replace(/^(#{1,6} .*\n+)+/, "");
    const before = field.value.slice(0, field.selectionStart).trimEnd();
    const after = field.value.slice(field.selectionEnd).trimStart();
    const written = [before, text].filter(Boolean).join("\n\n");
    field.value = [written, after].filter(Boolean).join("\n\n");
    field.setSelectionRange(written.length, written.length);
    drafts.save(openId, field.value);
    field.focus();
}

// ---------------------------------------------------------------- events of the page

root.addEventListener("click", (event) => {
    const row = event.target.closest("[data-open-conversation]");
    const isPlain = !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0;
    if (row && isPlain) {
        event.preventDefault();
        open(Number(row.dataset.openConversation));
    } else if (event.target.closest("[data-back]") && isPlain) {
        event.preventDefault();
        open(null);
    }
    const button = event.target.closest("[data-act]");
    if (button) act(button.dataset.act);
    const source = event.target.closest("[data-insert]");
    if (source) insert(source.dataset.insert);
    const passing = event.target.closest("[data-pass]");
    if (passing) choosePerson(passing.dataset.pass);
    const closing = event.target.closest("[data-close]");
    if (closing) {
        dialog.returnValue = "";
        dialog.dataset.url = closing.dataset.close;
        dialog.showModal();
    }
});

dialog.addEventListener("close", () => {
    const note = dialog.querySelector("textarea");
    if (dialog.returnValue === "close") {
        act(dialog.dataset.url, { note: note.value });
        note.value = "";
    }
});

passDialog.addEventListener("close", () => {
    const to = new FormData(passDialog.querySelector("form")).get("to");
    if (passDialog.returnValue === "pass" && to) act(passDialog.dataset.url, { to });
});

root.addEventListener("submit", (event) => {
    event.preventDefault();
    if (event.target.matches("[data-answer]")) send(event.target);
    else if (event.target.matches("[data-passages]")) search(event.target);
});

root.addEventListener("input", (event) => {
    if (event.target.id !== "answer") return;
    drafts.save(openId, event.target.value);
    if (Date.now() - lastTyped < TYPING_MS || !event.target.value) return;
    lastTyped = Date.now();
    tellServer({ type: "typing" });
});

root.addEventListener("keydown", (event) => {
    if (event.target.id !== "answer" || event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    event.target.form.requestSubmit();
});

addEventListener("popstate", () => {
    open(Number(new URLSearchParams(location.search).get("conversation")) || null, { isBack: true });
});

// ---------------------------------------------------------------- what is new

let hasRedis = true; // without it the socket stays open, and tells nothing
const isOpen = () => socket?.readyState === WebSocket.OPEN;
const isLive = () => isOpen() && hasRedis;

function tellServer(data) {
    if (isOpen()) socket.send(JSON.stringify(data));
}

/** Tell the server that somebody uses the inbox: the customers of whom they hold see that they are there. */
function tellActive() {
    lastUsed = Date.now();
    if (!isOpen() || lastUsed - activeSentAt < ACTIVE_SENT_EVERY_MS) return;
    activeSentAt = lastUsed;
    tellServer({ type: "active" });
}

for (const kind of ["pointerdown", "pointermove", "keydown", "scroll", "focus"]) addEventListener(kind, tellActive, { capture: true, passive: true });

function showLive() {
    const badge = root.querySelector("[data-live]");
    badge.textContent = isLive() ? "live" : "offline, asking";
    badge.className = `fb-badge ${isLive() ? "fb-good" : "fb-warn"}`;
}

function connect() {
    socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${root.dataset.root}ws/inbox`);
    socket.addEventListener("open", () => {
        retryMs = 500;
        hasRedis = true; // until the server says otherwise
        showLive();
        tellServer({ type: "open", conversation_id: openId });
        activeSentAt = 0;
        if (Date.now() - lastUsed < IDLE_AFTER_MS) tellActive();
        look();
    });
    socket.addEventListener("message", ({ data }) => {
        const { type, conversation_id: id, author, is_here: isHere, is_live: isRedisUp } = JSON.parse(data);
        if (type === "live") {
            hasRedis = isRedisUp;
            showLive();
            look();
            lookAgain();
        }
        if (type === "inbox" || type === "gone") refreshList().catch(() => {});
        if (id !== openId) return;
        if (type === "gone") showGone();
        if (type === "message") refreshMessages().catch(() => {});
        if (type === "state") keepDraft(refreshConversation);
        if (type === "typing") noteTyping(author);
        if (type === "presence") {
            isCustomerHere = isHere;
            showCustomer();
        }
    });
    socket.addEventListener("close", ({ code, reason }) => {
        showLive();
        lookAgain();
        endTyping();
        isCustomerHere = null;
        showCustomer();
        if (code >= 4400) {
            showError(reason);
            return;
        }
        setTimeout(connect, retryMs * (0.5 + Math.random()));
        retryMs = Math.min(retryMs * 2, 15000);
    });
}

function keepDraft(refresh) {
    const field = main.querySelector("#answer");
    if (field) drafts.save(openId, field.value);
    return refresh();
}

/** Ask for what is new: the socket may have lost something, or Redis may be down. */
async function look() {
    const id = openId;
    try {
        const found = await refreshList();
        const shown = talk();
        if (id !== openId || Number(shown?.dataset.conversation) !== id) return;
        if (shown.dataset.version === found.version) await refreshMessages();
        else await keepDraft(refreshConversation);
    } catch (error) {
        if (error.status === 404) showGone();
        // Otherwise the server does not answer; the next look may find it.
    }
}

let nextLook = null;

function lookAgain() {
    clearTimeout(nextLook);
    nextLook = setTimeout(async () => {
        if (!document.hidden || !isLive()) await look();
        lookAgain();
    }, isLive() ? POLL_MS : POLL_OFFLINE_MS);
}

addEventListener("visibilitychange", () => !document.hidden && look());
showConversation();
main.querySelector("#answer")?.focus();
connect();
lookAgain();
