// A WebSocket that comes back by itself, waiting longer after each failed attempt.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
const FORBIDDEN = 4403;

export class Connection {
  #url;
  #on;
  #socket = null;
  #timer = null;
  #failures = 0;

  /** `on` has `open()`, `message(data)`, `lost(waitMs)` and `forbidden()`. */
  constructor(url, on) {
    this.#url = url;
    this.#on = on;
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.hurry());
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  open() {
    clearTimeout(this.#timer);
    this.#timer = null;
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.addEventListener("open", () => {
      if (socket === this.#socket) this.#on.open();
    });
    socket.addEventListener("message", (event) => {
      if (socket !== this.#socket) return; // what an abandoned socket still says is nobody's answer
      this.#failures = 0; // a server that accepts and dies at once must not be stormed
      this.#on.message(JSON.parse(event.data));
    });
    socket.addEventListener("close", (event) => {
      if (socket === this.#socket) this.#closed(event.code);
    });
  }

  /** Try at once, where an attempt is only waiting for its time. */
  hurry() {
    if (this.#timer) this.open();
  }

  /** Leave the socket, and with it what the server is answering on it, for a new one. */
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

  #closed(code) {
    this.#socket = null;
    if (code === FORBIDDEN) {
      this.#on.forbidden();
      return;
    }
    const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#failures);
    const wait = longest * (0.75 + Math.random() / 2); // so that not every page returns in the same instant
    this.#failures += 1;
    this.#timer = setTimeout(() => this.open(), wait);
    this.#on.lost(wait);
  }
}
