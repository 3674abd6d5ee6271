// The chat of this server on the page of another site: a button, and a panel with the chat page in a frame.
//
//   <script src="https://bot.example.com/widget.js" data-key="fabra_pub_…" async></script>
//
// It is one file, and loads nothing until the chat is opened. Styles are a constructed style sheet and nodes are created
// one by one, so a page with a strict content security policy needs only the bot's origin in script-src and frame-src.

(() => {
  "use strict";

  const TEXTS = /* texts */ {};
  const SCRIPT = document.currentScript;
  const NAME = "fabra-widget";
  const PHONE = "(max-width: 480px), (max-height: 480px)";
  const WAS_OPEN = "fabra-widget-open";
  const OF_BROWSER = () => localStorage; // which throws where it is forbidden
  const OF_TAB = () => sessionStorage;
  const FRAME_PATIENCE_MS = 20_000; // until the frame's page has loaded
  const ANSWER_PATIENCE_MS = 3_000; // from then until its script has answered
  const TOKEN_PATIENCE_MS = 10_000;
  const ATTRIBUTES = ["key", "accent", "greeting", "position", "starters", "language", "theme", "label", "token", "token-url"];
  const ANOTHERS = "another's"; // what is noted where a visitor's words are no longer for whoever signs in next
  const SVG = "http://www.w3.org/2000/svg";
  const SPEECH = "M5 5.500h14a1.500 1.500 0 0 1 1.500 1.500v8.500a1.500 1.500 0 0 1-1.500 1.500h-7.500L7 20.500V17H5A1.500 1.500 0 0 1 3.500 15.500V7A1.500 1.500 0 0 1 5 5.500zM8 10h8M8 13h5";
  const CROSS = "M6 6l12 12M18 6 6 18";

  const STYLE = `
    :host { all: initial; --accent: #0b6e69; --on-accent: #fff; --side: 20px; font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; }
    :host([theme="light"]) { color-scheme: light; }
    :host([theme="dark"]) { color-scheme: dark; }
    :host { color-scheme: light dark; }
    * { box-sizing: border-box; }
    [hidden] { display: none !important; }
    button { font: inherit; cursor: pointer; }
    .launcher {
      position: fixed; z-index: 2147483000; bottom: calc(var(--side) + env(safe-area-inset-bottom)); right: var(--side);
      display: grid; place-items: center; width: 56px; height: 56px; padding: 0; border: 0; border-radius: 50%;
      background: var(--accent); color: var(--on-accent); box-shadow: 0 2px 6px rgb(15 30 40 / 20%), 0 8px 24px rgb(15 30 40 / 20%);
    }
    :host([position="left"]) .launcher { right: auto; left: var(--side); }
    .launcher:hover { filter: brightness(1.08); }
    :focus-visible { outline: 3px solid var(--accent); outline-offset: 3px; }
    svg { width: 26px; height: 26px; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
    .mark {
      position: absolute; top: -3px; right: -3px; min-width: 22px; height: 22px; padding: 0 6px; border-radius: 11px; border: 2px solid #fff;
      background: #b3261e; color: #fff; font-size: 12px; font-weight: 700; line-height: 18px; text-align: center;
    }
    dialog {
      position: fixed; z-index: 2147483000; inset: auto var(--side) calc(var(--side) + 68px + env(safe-area-inset-bottom)) auto;
      width: min(400px, calc(100vw - 2 * var(--side))); height: min(680px, calc(100dvh - var(--side) - 100px)); max-width: none; max-height: none;
      margin: 0; padding: 0; border: 0; border-radius: 16px; overflow: hidden; background: #f5f7f8; background: light-dark(#f5f7f8, #0f1518); color: #16212a; color: light-dark(#16212a, #e4ebee);
      box-shadow: 0 0 0 1px rgb(15 30 40 / 8%), 0 12px 48px rgb(15 30 40 / 28%);
    }
    dialog::backdrop { background: none; }
    :host([position="left"]) dialog { inset-inline: var(--side) auto; }
    iframe { display: block; width: 100%; height: 100%; border: 0; color-scheme: inherit; }
    .status { position: absolute; inset: 0; display: grid; place-items: center; padding: 24px; background: inherit; text-align: center; }
    .status p { margin: 0; }
    .status button { position: absolute; top: 8px; right: 8px; display: grid; place-items: center; width: 40px; height: 40px; border: 0; border-radius: 8px; background: none; color: inherit; }
    .dots { display: flex; gap: 6px; }
    .dots i { width: 8px; height: 8px; border-radius: 50%; background: var(--accent); }
    @media (prefers-reduced-motion: no-preference) {
      dialog[open] { animation: rise 0.18s ease-out; }
      .dots i { animation: breathe 1.2s infinite ease-in-out; }
      .dots i:nth-child(2) { animation-delay: 0.15s; }
      .dots i:nth-child(3) { animation-delay: 0.3s; }
    }
    @media ${PHONE} {
      dialog, :host([position="left"]) dialog { inset: 0; width: 100%; height: 100dvh; border-radius: 0; box-shadow: none; }
      /* Where a window became narrow with the panel open, which is then no modal dialog. */
      .launcher:has(~ dialog[open]), dialog[open] ~ .launcher { display: none; }
    }
    @media print { .launcher, dialog { display: none; } }
    @media (forced-colors: active) { .launcher, .mark { border: 2px solid ButtonText; } }
    @keyframes rise { from { opacity: 0; transform: translateY(12px); } }
    @keyframes breathe { 0%, 60%, 100% { opacity: 0.3; } 30% { opacity: 1; } }
  `;

  function make(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  }

  function icon(path) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    svg.append(document.createElementNS(SVG, "path"));
    svg.firstChild.setAttribute("d", path);
    return svg;
  }

  /** Return a short digest of the user that a site's token names, which nobody need read here; null for nobody. */
  function userIn(token) {
    try {
      const { sub } = JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
      return [...String(sub)].reduce((hash, letter) => Math.imul(hash ^ letter.codePointAt(0), 0x01000193), 0x811c9dc5).toString(36);
    } catch {
      return null;
    }
  }

  /** Return black or white, whichever is read better on a colour as browsers compute it (WCAG's contrast ratio). */
  function readableOn(colour) {
    const parts = (colour.match(/[\d.]+/g) ?? [0, 0, 0]).slice(0, 3).map(Number);
    const whole = colour.startsWith("color(") ? 1 : 255;
    const [r, g, b] = parts.map((part) => (part / whole <= 0.04045 ? part / whole / 12.92 : ((part / whole + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#10181d" : "#fff";
  }

  class FabraWidget extends HTMLElement {
    static observedAttributes = [...ATTRIBUTES, "open"];
    #root = this.attachShadow({ mode: "open" });
    #launcher;
    #panel;
    #status;
    #frame = null;
    #isReady = false; // the frame's script listens
    #patience = null;
    #token = null;
    #tokenWaits = [];
    #unread = 0;
    #botAccent = ""; // the bot's own colour, which the frame tells

    constructor() {
      super();
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(STYLE);
      this.#root.adoptedStyleSheets = [sheet];
    }

    connectedCallback() {
      if (!this.#launcher) this.#build();
      addEventListener("message", this.#receive);
      if (this.hasAttribute("open") || (this.#recall() && !matchMedia(PHONE).matches)) this.#show({ takesFocus: false });
      this.#noteUser();
    }

    disconnectedCallback() {
      removeEventListener("message", this.#receive);
      this.#panel.close(); // the attribute `open` stays, for a page that only moves it
      this.#drop();
    }

    attributeChangedCallback(name, before, value) {
      if (!this.#launcher || before === value) return;
      if (name === "open") value === null ? this.close() : this.open();
      else if (name === "token") this.identify(value);
      else if (name === "key" || name === "language") this.#drop(); // another chat; it is loaded when it is opened
      else if (name === "token-url") this.#tellToken();
      else {
        this.#paint();
        this.#post("look", this.#look());
      }
    }

    /** Open the panel, and load the chat the first time. */
    open() {
      if (!this.#panel?.open) this.#show({ takesFocus: true });
    }

    close() {
      if (!this.#panel?.open) return;
      const hadFocus = this.#root.activeElement && this.#root.activeElement !== this.#launcher;
      this.#panel.close();
      this.toggleAttribute("open", false);
      this.#recall(false);
      this.#post("hidden");
      this.#paint();
      if (hadFocus || document.activeElement === document.body) this.#launcher.focus();
      this.#tell("close");
    }

    toggle() {
      this.#panel?.open ? this.close() : this.open();
    }

    /** Say who the visitor is, by a token of the site; null if nobody is signed in. */
    identify(token) {
      this.#token = token || null;
      const forgetsVisitor = this.#isAnothers(this.#token);
      const waits = this.#tokenWaits.splice(0);
      if (waits.length) for (const answer of waits) answer(this.#token);
      else this.#post("token", { token: this.#token, forgetsVisitor });
    }

    signOut() {
      this.identify(null);
    }

    // ---------------------------------------------------------------- what is seen

    #build() {
      this.#token = this.getAttribute("token");
      if (this.#token) this.#isAnothers(this.#token);
      this.#launcher = make("button", { type: "button", class: "launcher", part: "launcher", "aria-haspopup": "dialog" });
      this.#launcher.addEventListener("click", () => this.toggle());
      const close = make("button", { type: "button" }, icon(CROSS));
      close.addEventListener("click", () => this.close());
      this.#status = make("div", { class: "status" }, make("p", { role: "status" }), close);
      this.#panel = make("dialog", { part: "panel", id: "panel" }, this.#status);
      this.#panel.addEventListener("cancel", (event) => {
        event.preventDefault();
        this.close();
      });
      this.#root.addEventListener("keydown", (event) => {
        if (event.key === "Escape" && this.#panel.open) {
          event.preventDefault();
          this.close();
        }
      });
      this.#root.append(this.#panel, this.#launcher);
      this.#paint();
    }

    #paint() {
      const accent = this.getAttribute("accent") || this.#botAccent || this.#kept("accent");
      const isColour = Boolean(accent) && CSS.supports("color", accent);
      for (const node of [this.#launcher, this.#panel]) {
        if (isColour) node.style.setProperty("--accent", accent);
        else node.style.removeProperty("--accent");
      }
      this.#launcher.style.setProperty("--on-accent", readableOn(getComputedStyle(this.#launcher).backgroundColor));
      const isOpen = this.#panel.open;
      const unread = this.#unread && !isOpen ? this.#unread : 0;
      const label = isOpen ? this.#t("close") : this.getAttribute("label") || this.#t("open");
      const count = unread === 1 ? this.#t("unread_one") : this.#t("unread_other").replace("{count}", unread);
      this.#launcher.setAttribute("aria-label", unread ? `${label} (${count})` : label);
      this.#launcher.title = label;
      this.#launcher.setAttribute("aria-expanded", String(isOpen));
      this.#launcher.replaceChildren(icon(isOpen ? CROSS : SPEECH));
      if (unread) this.#launcher.append(make("span", { class: "mark", "aria-hidden": "true" }, unread > 9 ? "9+" : String(unread)));
      this.#panel.setAttribute("aria-label", this.#t("title"));
      this.#panel.lang = this.#language();
      this.#status.querySelector("button").setAttribute("aria-label", this.#t("close"));
      if (this.#frame) this.#frame.title = this.#t("title");
    }

    #show({ takesFocus }) {
      const isPhone = matchMedia(PHONE).matches;
      if (!this.#frame) this.#load();
      // A dialog over the whole screen keeps the focus inside; one beside the page leaves it to the reader.
      if (isPhone) this.#panel.showModal();
      else this.#panel.open = true;
      this.#unread = 0;
      this.removeAttribute("unread");
      this.toggleAttribute("open", true);
      this.#recall(true);
      this.#paint();
      if (takesFocus) this.#focusInside();
      this.#post("shown", { takesFocus });
      this.#tell("open");
    }

    #focusInside() {
      if (this.#isReady) this.#frame.focus();
      else this.#status.querySelector("button").focus();
    }

    // ---------------------------------------------------------------- the frame

    #load() {
      const url = new URL("embed", SCRIPT_URL);
      url.search = new URLSearchParams({ key: this.getAttribute("key") ?? "", origin: location.origin, language: this.#language() });
      this.#frame = make("iframe", { title: this.#t("title"), allow: "clipboard-write", src: url.href });
      this.#frame.addEventListener("load", () => {
        // A frame that the browser refuses to show loads a page of the browser's own.
        if (!this.#isReady) this.#wait(ANSWER_PATIENCE_MS);
      });
      this.#say(make("span", { class: "dots" }, make("i"), make("i"), make("i")));
      this.#panel.prepend(this.#frame);
      this.#wait(FRAME_PATIENCE_MS);
    }

    #drop() {
      clearTimeout(this.#patience);
      this.#frame?.remove();
      this.#frame = null;
      this.#isReady = false;
      if (this.#panel?.open) this.#load();
    }

    #wait(forMs) {
      clearTimeout(this.#patience);
      this.#patience = setTimeout(() => this.#fail("no_answer"), forMs);
    }

    #fail(code) {
      clearTimeout(this.#patience);
      this.#say(this.#t("unavailable"));
      if (code === "origin_forbidden" || code === "no_answer") {
        console.warn(`${NAME}: the chat cannot be shown (${code}). Is ${location.origin} an origin of the key, and is ${SCRIPT_URL.origin} in this page's frame-src?`);
      }
      this.#tell("failed", { code });
    }

    /** Cover the frame with a sentence; without one, show the frame. */
    #say(content) {
      this.#status.hidden = !content;
      if (content) this.#status.querySelector("p").replaceChildren(content);
      this.#status.querySelector("p").setAttribute("aria-busy", String(typeof content !== "string"));
    }

    #post(kind, data = {}) {
      if (this.#isReady) this.#frame?.contentWindow?.postMessage({ fabra: kind, ...data }, SCRIPT_URL.origin);
    }

    #receive = async (event) => {
      if (!this.#frame || event.source !== this.#frame.contentWindow || event.origin !== SCRIPT_URL.origin) return;
      const { fabra: kind, ...data } = event.data ?? {};
      if (kind === "ready") {
        clearTimeout(this.#patience);
        this.#isReady = true;
        const token = await this.#currentToken();
        const forgetsVisitor = this.#isAnothers(token);
        const kept = { visitor: this.#kept(""), conversation: this.#kept("conversation", OF_TAB) };
        this.#post("begin", { ...this.#look(), token, forgetsVisitor, ...kept, isShown: this.#panel.open });
      } else if (kind === "begun") {
        const takesFocus = this.#root.activeElement === this.#status.querySelector("button");
        this.#say(null);
        this.#botAccent = data.accent || "";
        this.#keep("accent", this.#botAccent);
        this.#paint();
        if (takesFocus) {
          this.#focusInside();
          this.#post("shown", { takesFocus });
        }
      } else if (kind === "failed") {
        if (data.isUnusable === false) this.#tell("failed", { code: data.code });
        else this.#fail(data.code);
      } else if (kind === "token") {
        const token = await this.#currentToken({ isNew: true });
        this.#post("token", { token, forgetsVisitor: this.#isAnothers(token) });
      } else if (kind === "keep") {
        this.#keep("", data.visitor);
        this.#keep("visits", data.isVisitor ? "1" : null);
        this.#keep("user", data.isVisitor ? userIn(this.#token) : null); // a former one's is forgotten, or joined
      } else if (kind === "conversation") {
        this.#keep("conversation", data.id, OF_TAB);
      } else if (kind === "unread") {
        this.#unread = this.#panel.open ? 0 : data.count;
        this.toggleAttribute("unread", Boolean(this.#unread));
        if (this.#unread) this.setAttribute("unread", this.#unread);
        this.#paint();
        this.#tell("unread", { count: this.#unread });
      } else if (kind === "close") {
        this.close();
      } else if (kind === "message" || kind === "escalated") {
        this.#tell(kind, data);
      }
    };

    // ---------------------------------------------------------------- who it is

    /** Return the site's token for its user, from its address if it has one; null if nobody is signed in. */
    async #currentToken({ isNew = false } = {}) {
      const url = this.getAttribute("token-url");
      if (url) {
        try {
          const response = await fetch(url, { credentials: "same-origin", headers: { Accept: "application/json" }, cache: "no-store" });
          this.#token = response.status === 200 ? (await response.json()).token || null : null;
        } catch {
          this.#token = null;
        }
      } else if (isNew) {
        this.#token = null;
        let wait;
        const answered = new Promise((resolve) => this.#tokenWaits.push((wait = resolve)));
        const giveUp = () => {
          this.#tokenWaits = this.#tokenWaits.filter((each) => each !== wait);
          wait(null);
        };
        // Whoever listens calls `identify` with a new token, at once or soon; the latter they say by `preventDefault`.
        const isAwaited = !this.dispatchEvent(new CustomEvent("token", { cancelable: true }));
        if (isAwaited) setTimeout(giveUp, TOKEN_PATIENCE_MS);
        else giveUp();
        return answered;
      }
      return this.#token;
    }

    async #tellToken() {
      if (!this.#isReady) return this.#noteUser();
      const token = await this.#currentToken();
      this.#post("token", { token, forgetsVisitor: this.#isAnothers(token) });
    }

    /** Note who is signed in while the chat is not loaded, where what a visitor has said may be theirs. */
    async #noteUser() {
      if (this.#frame || !this.getAttribute("token-url") || !this.#kept("visits")) return;
      const token = await this.#currentToken();
      if (token) this.#isAnothers(token);
    }

    /** Return whether what a visitor said in this browser is another's: it is for the first who signs in after it.
     *
     * Who that was is noted, also while the chat is not loaded, until the frame has joined or forgotten the visitor.
     */
    #isAnothers(token) {
      const user = userIn(token);
      const first = this.#kept("user");
      if (!first || first === user) {
        this.#keep("user", user);
        return false;
      }
      this.#keep("user", ANOTHERS);
      this.#keep("", null);
      return true;
    }

    // ---------------------------------------------------------------- small things

    #look() {
      const starters = this.getAttribute("starters");
      return {
        accent: this.getAttribute("accent"),
        greeting: this.getAttribute("greeting"),
        starters: starters === null ? null : starters.split("|").map((text) => text.trim()).filter(Boolean),
      };
    }

    #tell(name, detail = {}) {
      this.dispatchEvent(new CustomEvent(name, { detail }));
    }

    #language() {
      const wanted = [this.getAttribute("language"), document.documentElement.lang, ...navigator.languages].filter(Boolean);
      for (const each of wanted) {
        const found = [each.toLowerCase(), each.toLowerCase().split("-")[0]].find((name) => TEXTS[name]);
        if (found) return found;
      }
      return Object.keys(TEXTS)[0];
    }

    #t(name) {
      return TEXTS[this.#language()][name];
    }

    /** Return what is kept on this site for the key: a visitor where the frame's storage is forbidden, whether there is
     * one, who signed in after it, a colour; and in this tab the id of the open conversation, which opens it for nobody
     * but its reader. */
    #kept(name, storage = OF_BROWSER) {
      try {
        return storage().getItem(this.#itemName(name));
      } catch {
        return null; // forbidden here, too: the visitor is a new one on the next page
      }
    }

    #itemName(name) {
      return `${NAME}:${this.getAttribute("key")}${name && `:${name}`}`;
    }

    #keep(name, text, storage = OF_BROWSER) {
      try {
        if (text) storage().setItem(this.#itemName(name), text);
        else storage().removeItem(this.#itemName(name));
      } catch {
        // Forbidden: see above.
      }
    }

    /** Return whether the panel was open on the page before, in this tab; with a value, note it. */
    #recall(isOpen) {
      try {
        if (isOpen === undefined) return sessionStorage.getItem(WAS_OPEN) !== null;
        if (isOpen) sessionStorage.setItem(WAS_OPEN, "1");
        else sessionStorage.removeItem(WAS_OPEN);
      } catch {
        // The storage is forbidden: the panel stays closed on the next page.
      }
      return false;
    }
  }

  const SCRIPT_URL = new URL(SCRIPT.src);
  if (customElements.get(NAME)) return;

  function place() {
    if (customElements.get(NAME)) return; // the page has the script twice
    const widget = document.createElement(NAME);
    for (const name of ["id", ...ATTRIBUTES]) {
      const value = SCRIPT.getAttribute(`data-${name}`);
      if (value !== null) widget.setAttribute(name, value);
    }
    document.body.append(widget);
    customElements.define(NAME, FabraWidget); // whoever waits for that finds the element in the page
  }

  if (!SCRIPT.hasAttribute("data-key")) customElements.define(NAME, FabraWidget); // the page has the element itself
  else if (document.body) place();
  else addEventListener("DOMContentLoaded", place);
})();
