// Stores the conversation and the draft in this tab's session storage, so that a reload loses nothing.

const TURNS_MAX = 50;
const key = (userId) => `chat:2:${userId}`; // 2 is the version of a turn's format

export function recall(userId) {
  try {
    const kept = JSON.parse(sessionStorage.getItem(key(userId)) ?? "{}");
    return { conversationId: kept.conversationId ?? null, turns: kept.turns ?? [] };
  } catch {
    return { conversationId: null, turns: [] };
  }
}

export function remember(userId, { conversationId, turns }) {
  write(key(userId), JSON.stringify({ conversationId, turns: turns.slice(-TURNS_MAX) }));
}

export function recallText(name) {
  try {
    return sessionStorage.getItem(name) ?? "";
  } catch {
    return "";
  }
}

export function rememberText(name, text) {
  write(name, text);
}

function write(name, text) {
  try {
    sessionStorage.setItem(name, text);
  } catch {
    // The storage is full or forbidden: the page works without it.
  }
}
