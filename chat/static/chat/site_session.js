// Who has the page in a frame: the site's user, or a visitor. Cookies of a frame are often blocked, so the page keeps a
// signed text, which goes with each request. A visitor's is kept in the frame's storage, or where browsers forbid that
// too, in the site's; that of a signed-in user lives as long as the page.

import { forgetReader, recallLasting, recallText, rememberLasting, rememberText } from "./memory.js";
import { onWidget, tellWidget } from "./site.js";

const { siteKey, siteOrigin } = document.body.dataset;
const VISITOR = `session:${siteKey}`;
const EARLY_MS = 30_000;
const LEAST_WAIT_MS = 10_000; // also for a token that is valid for seconds only; a request renews one that has ended
const ANSWERING_RETRY_MS = 1000;
const ANSWERING_TRIES = 60;

let session = null; // as the server gave it, with `session`, `user_id`, `is_signed` and `expires_in_s`
let timer = null;
let changing = null; // while another session begins
let tokenCame = null;
let follow = null;
let early;
let kept = null; // by the widget

export function sessionText() {
  return session?.session ?? null;
}

/** Begin as whom the token names, or as the visitor of what the widget has kept; return the user id.
 *
 * A visitor who is another's is forgotten. Throw an error with a `code`.
 */
export function beginFirst({ token, visitor, forgetsVisitor }) {
  kept = visitor;
  if (forgetsVisitor) forgetVisitor();
  return beginSession(token);
}

async function beginSession(token) {
  session = await requested(token);
  keepVisitor(session.is_signed ? null : session.session);
  // What this browser keeps belongs to one reader: drafts, and what was read.
  if (recallText("reader") !== session.user_id) forgetReader();
  rememberText("reader", session.user_id);
  clearTimeout(timer);
  if (session.is_signed) {
    const wait = Math.max(LEAST_WAIT_MS, session.expires_in_s * 1000 - EARLY_MS);
    timer = setTimeout(() => renewSession(sessionText()).catch(() => {}), wait);
  }
  return session.user_id;
}

/** Begin again in the place of the session `ended`; whoever asks meanwhile, or later for the same one, gets the new one.
 *
 * A visitor's session ends where the site signs them in, so a request may learn of the end before the page has the new
 * session. It must not ask for another one then: that would be a stranger's.
 */
export async function renewSession(ended) {
  while (changing) await changing.catch(() => {});
  if (ended === sessionText()) await change(() => (session?.is_signed ? newToken() : null));
}

/** Begin as another user when the site says so; `whenIdle` resolves once no answer is on its way. */
export function followSite(whenIdle) {
  follow = async (token) => {
    await whenIdle();
    await change(() => token).catch((error) => tellWidget("failed", { code: error.code, isUnusable: false }));
  };
  if (early !== undefined) follow(early);
}

onWidget("token", ({ token, forgetsVisitor }) => {
  if (forgetsVisitor) forgetVisitor();
  if (tokenCame) tokenCame(token);
  else if (follow) follow(token);
  else early = token; // it comes before the first session is there
});

/** Change the session once no other change is on its way. */
function change(tokenOf) {
  const before = changing;
  const mine = (async () => {
    await before?.catch(() => {});
    await changeTo(tokenOf);
  })();
  changing = mine;
  return mine.finally(() => {
    if (changing === mine) changing = null;
  });
}

/** Begin anew; for another reader the page is loaded again, so that nothing of the former one is left in it. */
async function changeTo(tokenOf) {
  const before = session?.user_id;
  const userId = await beginSession(await tokenOf());
  if (userId !== before) {
    const url = new URL(location.href);
    if (!session.joined) {
      url.searchParams.delete("conversation");
      tellWidget("conversation", { id: null });
    }
    location.replace(url);
    await new Promise(() => {}); // nothing goes on in this page
  }
}

function keepVisitor(text) {
  const isKept = rememberLasting(VISITOR, text);
  kept = isKept ? null : text;
  tellWidget("keep", { visitor: kept, isVisitor: Boolean(text) });
}

function forgetVisitor() {
  rememberLasting(VISITOR, null);
  kept = null;
}

function newToken() {
  return new Promise((resolve) => {
    tokenCame = (token) => {
      tokenCame = null;
      resolve(token);
    };
    tellWidget("token");
  });
}

async function requested(token) {
  const body = { key: siteKey, origin: siteOrigin, user_token: token ?? "" };
  for (let tries = 1; ; tries += 1) {
    body.session = recallLasting(VISITOR) ?? kept ?? "";
    const { status, data } = await posted(body);
    if (status === 200) return data;
    const code = data?.error?.code ?? "network";
    if (code === "still_answering" && tries < ANSWERING_TRIES) {
      await new Promise((resolve) => setTimeout(resolve, ANSWERING_RETRY_MS));
    } else if (code === "user_token_expired" && tries === 1) {
      body.user_token = (await newToken()) ?? "";
    } else if (code.startsWith("user_token_") && body.user_token) {
      // The site's mistake, of which it learns: its visitor can ask, as nobody.
      tellWidget("failed", { code, isUnusable: false });
      body.user_token = "";
    } else {
      throw Object.assign(new Error(data?.error?.message ?? code), { code });
    }
  }
}

async function posted(body) {
  try {
    const response = await fetch(`${document.body.dataset.root}embed/session`, {
      method: "POST", credentials: "omit", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    return { status: response.status, data: await response.json().catch(() => null) };
  } catch {
    return { status: 0, data: null };
  }
}
