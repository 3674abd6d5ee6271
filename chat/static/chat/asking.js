// The question that is being answered: it is sent, stopped, tried again, and sent anew after a lost connection.

import { NOTHING_YET } from "./thread.js";
import { t } from "./texts.js";

const STOP_PATIENCE_MS = 3000;
const LAST = new Set(["done", "stopped", "error"]);
const OF_CONVERSATION = new Set(["message", "state", "typing"]);

export class Asking {
  #thread;
  #connection;
  #on;
  #deadlineS;
  #active = null; // the turn that is being answered or waits for the connection
  #isDraining = false; // the end of an answer that nobody waits for any more is still to come
  #watchdog = null;
  #frame = null;

  /** `on` has `context()`, which gives what a message is sent with, `began(id)`, `answered(result)` and `changed()`. */
  constructor({ thread, connection, deadlineS, on }) {
    this.#thread = thread;
    this.#connection = connection;
    this.#deadlineS = deadlineS;
    this.#on = on;
  }

  get isBusy() {
    return Boolean(this.#active);
  }

  ask(question) {
    if (this.#active) return null;
    const turn = this.#thread.add({ ...NOTHING_YET, question });
    this.#begin(turn, newId());
    return turn;
  }

  /** Ask again. What failed is the same message, which the server has once; what was stopped is a new one. */
  retry(turn) {
    if (this.#active) return;
    const isSame = turn.state === "error" || turn.state === "unanswered";
    this.#begin(turn, (isSame && turn.clientId) || newId());
  }

  stop() {
    const turn = this.#active;
    if (!turn || turn.isStopping) return;
    if (turn.state === "waiting") {
      this.#finish("stopped");
      return;
    }
    turn.isStopping = true;
    this.#connection.send({ type: "stop" });
    // If the server does not confirm the stop, closing the socket stops the answer.
    setTimeout(() => {
      if (turn !== this.#active) return;
      this.#finish("stopped");
      this.#connection.replace();
    }, STOP_PATIENCE_MS);
  }

  /** Stop the answer, and wait for nothing: the server stores what was received of it. */
  leave() {
    if (!this.#active) return;
    if (this.#active.state !== "waiting") this.#isDraining = this.#connection.send({ type: "stop" });
    this.#finish("stopped");
  }

  connected() {
    this.#isDraining = false;
    if (this.#active?.state === "waiting") this.#submit();
  }

  lost() {
    if (this.#active?.state === "asked") {
      this.#active.state = "waiting"; // whether it arrived is not known: it is sent again under the same id
      this.#thread.paint(this.#active);
    } else if (this.#active?.state === "answering") {
      this.fail({ message: t("lost_early") });
    }
  }

  fail(error) {
    if (!this.#active) return;
    this.#active.error = error;
    this.#finish("error");
  }

  /** Take a message of the socket; return whether it was about the answer. */
  receive(data) {
    if (OF_CONVERSATION.has(data.type)) return false;
    if (this.#isDraining) {
      if (LAST.has(data.type)) this.connected();
    } else if (this.#active) {
      this.#parts[data.type]?.(data);
    }
    return true;
  }

  #parts = {
    start: (data) => {
      this.#active.contextId = data.context_id ?? undefined;
      this.#active.state = "answering";
      this.#thread.hasStored({ id: data.question_id, role: "user" }, this.#active);
      this.#thread.paint(this.#active);
      this.#on.began(data.conversation_id, data.question_id);
    },
    delta: ({ text }) => {
      this.#active.text += text;
      this.#paintSoon();
    },
    block: ({ html, length }) => {
      this.#active.html += html;
      this.#active.rendered = length;
      this.#paintSoon();
    },
    done: (data) => this.#complete(data, "done"),
    stopped: (data) => this.#complete(data, "stopped"),
    error: ({ message, code, limits }) => {
      // By this browser's clock, which may be wrong: so from what is left, not from the server's time.
      const waitS = Number(limits?.["Retry-After"]);
      const resetsAt = waitS && limits["X-RateLimit-Reset"] ? Date.now() + waitS * 1000 : undefined;
      this.fail({ message, code, limit: limits?.["X-RateLimit-Limit"], resetsAt });
    },
  };

  #begin(turn, clientId) {
    this.#active = turn;
    // What is sent again under the same id, because its arrival is unknown, is one message for the server.
    Object.assign(turn, NOTHING_YET, { clientId, isStopping: false });
    this.#submit();
  }

  #submit() {
    const turn = this.#active;
    const isSent = !this.#isDraining && this.#connection.send({ message: turn.question, client_id: turn.clientId, ...this.#on.context() });
    if (isSent) {
      turn.state = "asked";
      this.#watch();
    } else {
      this.#connection.hurry();
    }
    this.#thread.paint(turn);
    this.#on.changed();
  }

  /** Fail the turn well after the server's own deadline, because a connection can be lost without a close event. */
  #watch() {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => {
      this.fail({ message: t("too_late") });
      this.#connection.replace();
    }, (this.#deadlineS + 10) * 1000);
  }

  #complete({ response, html, ...result }, state) {
    const turn = this.#active;
    const isAnswered = result.role === "assistant";
    if (isAnswered) {
      Object.assign(turn, {
        text: response, html, rendered: response.length, result, contextId: result.context_id ?? undefined, messageId: result.message_id,
      });
      this.#thread.hasStored({ id: result.message_id, role: "assistant" });
    }
    // Without a model a person answers, later, or a line that tells what happens now.
    const isForPerson = !isAnswered && result.conversation_id;
    if (isForPerson) Object.assign(turn, { text: "", html: "" });
    this.#finish(isForPerson ? "said" : state);
    if (isForPerson && response) this.#thread.absorb({ id: result.message_id, role: "notice", text: response });
    this.#on.answered(result);
  }

  #finish(state) {
    clearTimeout(this.#watchdog);
    const turn = this.#active;
    turn.state = state;
    this.#active = null;
    this.#thread.paint(turn);
    this.#on.changed();
  }

  /** Render at most once per frame, because pieces may arrive faster than the screen can show them. */
  #paintSoon() {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = null;
      if (this.#active) this.#thread.paint(this.#active);
    });
  }
}

function newId() {
  if (crypto.randomUUID) return crypto.randomUUID(); // which needs HTTPS or localhost
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
