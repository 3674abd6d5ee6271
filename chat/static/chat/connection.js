// A WebSocket that reconnects by itself, with a longer wait after each failed attempt.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
export const SIGNED_OUT = 4401;
const FINAL = new Set([SIGNED_OUT, 4403]); // and forbidden: connecting again would not help

export class Connection {
  #url;
  #on;
  #socket = null;
  #timer = null;
  #failures = 0;
  #hasBegun = false;

  /** `on` has the callbacks `open()`, `message(data)`, `lost(waitMs)` and `refused(code)`.
   *
   * With `on.greeting()` its result is sent first, and the connection counts as open once the server has `begun`.
   */
  constructor(url, on) {
    this.#url = url;
    this.#on = on;
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.hurry());
  }

  get isOpen() {
    return this.#hasBegun && this.#socket?.readyState === WebSocket.OPEN;
  }

  open() {
    clearTimeout(this.#timer);
    this.#timer = null;
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#hasBegun = false;
    socket.addEventListener("open", () => {
      if (socket !== this.#socket) return;
      if (this.#on.greeting) socket.send(JSON.stringify(this.#on.greeting()));
      else this.#begin();
    });
    socket.addEventListener("message", (event) => {
      if (socket !== this.#socket) return; // ignore late messages of a replaced socket
      this.#failures = 0; // not at `open`: a server that accepts and fails at once must not be flooded
      const data = JSON.parse(event.data);
      if (data.type === "begun") this.#begin();
      else this.#on.message(data);
    });
    socket.addEventListener("close", (event) => {
      if (socket === this.#socket) this.#closed(event);
    });
  }

  /** Reconnect at once if an attempt is scheduled. */
  hurry() {
    if (this.#timer) this.open();
  }

  /** Open a new socket and close the old one, which also cancels the answer in progress. */
  replace() {
    const old = this.#socket;
    this.open();
    old?.close();
  }

  send(data) {
    if (!this.isOpen) return false;
    this.#socket.send(JSON.stringify(data));
    return true;
  }

  #begin() {
    this.#hasBegun = true;
    this.#on.open();
  }

  #closed({ code }) {
    this.#socket = null;
    if (FINAL.has(code)) {
      this.#on.refused(code);
      return;
    }
    const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#failures);
    const wait = longest * (0.75 + Math.random() / 2); // jitter, so that not all pages reconnect at the same time
    this.#failures += 1;
    this.#timer = setTimeout(() => this.open(), wait);
    this.#on.lost(wait);
  }
}
