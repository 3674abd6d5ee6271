// What this browser keeps: drafts and the chosen user in the tab's storage, what was read in the browser's.

export function recallText(name) {
  return read(() => sessionStorage, name) ?? "";
}

export function rememberText(name, text) {
  write(() => sessionStorage, name, text);
}

/** Return the id of the last message of a conversation that was seen here; null if none was. */
export function lastRead(conversationId) {
  const found = read(() => localStorage, `read:${conversationId}`);
  return found === null ? null : Number(found);
}

export function rememberRead(conversationId, messageId) {
  if (messageId > (lastRead(conversationId) ?? 0)) write(() => localStorage, `read:${conversationId}`, String(messageId));
}

/** Text that outlives the tab; null without one. */
export function recallLasting(name) {
  return read(() => localStorage, name);
}

/** Keep text beyond the tab; return whether the browser allows it. */
export function rememberLasting(name, text) {
  return write(() => localStorage, name, text);
}

/** Forget what belongs to a reader: drafts, and what was read. */
export function forgetReader() {
  try {
    sessionStorage.clear();
    for (const name of Object.keys(localStorage)) if (name.startsWith("read:")) localStorage.removeItem(name);
  } catch {
    // The storage is forbidden, so nothing is in it.
  }
}

export function forget(conversationId) {
  try {
    localStorage.removeItem(`read:${conversationId}`);
    sessionStorage.removeItem(`draft:${conversationId}`);
  } catch {
    // The storage is forbidden, so nothing is in it.
  }
}

function read(storage, name) {
  try {
    return storage().getItem(name);
  } catch {
    return null;
  }
}

function write(storage, name, text) {
  try {
    if (text) storage().setItem(name, text);
    else storage().removeItem(name);
    return true;
  } catch {
    return false; // the storage is full or forbidden: the page works without it
  }
}
