// The list of conversations: search, open, rename, export and delete. On a small screen it is a drawer.

import { address, call, download } from "./api.js";
import { confirmation } from "./dialog.js";
import { el, icon } from "./dom.js";
import { forget, lastRead } from "./memory.js";
import { errorText, shortTime, t } from "./texts.js";

const SEARCH_AFTER_MS = 250;
const $ = (id) => document.getElementById(id);

export class Sidebar {
  #on;
  #current = null;
  #next = null;
  #rows = [];
  #timer = null;
  #asked = 0;
  #isBehind = false; // the list shows less than is known

  /** `on` has the callbacks `open(id)`, `removed(id)` and `changed()`, of the list. */
  constructor(on) {
    this.#on = on;
    $("search").addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.load(), SEARCH_AFTER_MS);
    });
    $("open-list").addEventListener("click", () => this.#show(true));
    for (const id of ["close-list", "shade"]) $(id).addEventListener("click", () => this.close());
    document.addEventListener("click", (event) => closeMenus(event.target.closest?.(".menu")));
    document.addEventListener("keydown", (event) => {
      // What Escape closes, the innermost first; an answer is stopped only if it closes nothing.
      if (event.key === "Escape" && (closeMenus(null) || this.close())) event.preventDefault();
    });
  }

  async load() {
    const asked = (this.#asked += 1);
    const q = $("search").value.trim();
    try {
      const page = await call("GET", "/api/conversations/", { params: { q } });
      if (asked !== this.#asked) return; // a later search has begun
      this.#rows = page.results;
      this.#next = page.next;
      this.#note(this.#rows.length ? "" : t(q ? "none_found" : "none_yet"));
    } catch {
      if (asked === this.#asked) this.#note(t("list_failed"));
    }
    this.#paint();
  }

  /** Mark the open conversation. */
  select(id) {
    this.#current = id;
    this.#paint();
  }

  titleOf(id) {
    return this.#rows.find((row) => row.id === id)?.title;
  }

  /** Close the drawer; return whether it was open. */
  close() {
    if ($("open-list").getAttribute("aria-expanded") !== "true") return false;
    this.#show(false);
    $("open-list").focus();
    return true;
  }

  #show(isShown) {
    document.body.classList.toggle("list-open", isShown);
    $("shade").hidden = !isShown;
    $("open-list").setAttribute("aria-expanded", String(isShown));
    if (isShown) $("close-list").focus();
  }

  #note(words) {
    $("list-note").textContent = words;
    $("list-note").hidden = !words;
  }

  /** Show the conversations; while a menu is open or a title is typed, not before that ends, or it would be taken away. */
  #paint() {
    $("unread-elsewhere").hidden = !this.#rows.some((row) => this.#isUnread(row));
    this.#on.changed();
    this.#isBehind = Boolean($("list").querySelector(".menu[open], .rename"));
    if (this.#isBehind) return;
    const items = this.#rows.map((row) => this.#item(row));
    if (this.#next) items.push(el("li", {}, el("button", { type: "button", class: "link more", onclick: () => this.#more() }, t("show_more"))));
    $("list").replaceChildren(...items);
  }

  #isUnread(row) {
    const read = lastRead(row.id);
    return row.id !== this.#current && read !== null && (row.last_message_id ?? 0) > read;
  }

  #item(row) {
    const title = row.title || t("untitled");
    const open = (event) => {
      if (event.metaKey || event.ctrlKey) return; // a new tab
      event.preventDefault();
      this.close();
      this.#on.open(row.id);
    };
    const isUnread = this.#isUnread(row);
    const link = el(
      "a",
      { href: `?conversation=${row.id}`, onclick: open, "aria-current": row.id === this.#current ? "page" : null },
      el("span", { class: "name" }, title, isUnread ? el("span", { class: "visually-hidden" }, ` (${t("unread")})`) : null),
      el("time", { datetime: row.last_message_at }, shortTime(row.last_message_at)),
    );
    return el("li", { class: isUnread ? "unread" : null }, link, this.#menu(row, title));
  }

  #menu(row, title) {
    const exported = (as) => address(`/api/conversations/${row.id}/export/`, { as });
    const menu = el(
      "details",
      { class: "menu", ontoggle: () => !menu.open && this.#isBehind && this.#paint() },
      el("summary", { "aria-label": t("actions_for", { title }), title: t("actions_for", { title }) }, icon("more")),
      el(
        "div",
        { class: "entries" },
        el("button", { type: "button", onclick: () => this.#rename(row, menu) }, t("rename")),
        el("a", { href: exported("markdown"), download: "", onclick: download }, t("export_markdown")),
        el("a", { href: exported("json"), download: "", onclick: download }, t("export_json")),
        el("button", { type: "button", class: "danger", onclick: () => this.#delete(row) }, t("delete")),
      ),
    );
    return menu;
  }

  #rename(row, menu) {
    const field = el("input", { maxlength: "200", "aria-label": t("new_title") });
    field.value = row.title;
    const item = menu.closest("li");
    const submit = async (event) => {
      event.preventDefault();
      if (!field.value.trim()) return;
      try {
        const { title } = await call("PATCH", `/api/conversations/${row.id}/`, { body: { title: field.value } });
        for (const each of this.#rows) if (each.id === row.id) each.title = title; // the list may have been read again
        this.#note(t("renamed"));
      } catch (error) {
        this.#note(errorText(error));
      }
      form.remove();
      this.#paint();
    };
    const form = el("form", { class: "rename", onsubmit: submit }, field, el("button", { class: "button" }, t("save")));
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      form.remove();
      this.#paint();
    });
    item.replaceChildren(form);
    field.select();
  }

  async #delete(row) {
    closeMenus(null);
    if (!(await confirmation(t("delete_this"), t("delete_what"), t("delete")))) return;
    try {
      await call("DELETE", `/api/conversations/${row.id}/`);
    } catch (error) {
      if (error.status !== 404) {
        this.#note(errorText(error));
        return;
      }
    }
    forget(row.id);
    this.#rows = this.#rows.filter(({ id }) => id !== row.id);
    this.#note(t("deleted"));
    this.#paint();
    this.#on.removed(row.id);
  }

  async #more() {
    const { pathname, search } = new URL(this.#next);
    try {
      const page = await call("GET", pathname, { params: Object.fromEntries(new URLSearchParams(search)) });
      this.#rows.push(...page.results.filter((row) => !this.#rows.some(({ id }) => id === row.id)));
      this.#next = page.next;
    } catch (error) {
      this.#note(errorText(error));
    }
    this.#paint();
  }
}

/** Close every menu but this one; return whether one was open. */
function closeMenus(but) {
  const open = [...document.querySelectorAll(".menu[open]")].filter((menu) => menu !== but);
  for (const menu of open) {
    if (menu.contains(document.activeElement)) menu.querySelector("summary").focus();
    menu.open = false;
  }
  return open.length > 0;
}
