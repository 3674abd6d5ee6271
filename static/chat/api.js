// Calls of the server's REST API, as the user that the page speaks for.

import { isEmbedded } from "./site.js";
import { renewSession, sessionText } from "./site_session.js";

const page = document.body.dataset;
let chosenUser = null; // null: whoever has the page

export class ApiError extends Error {
  constructor(status, { code, message } = {}) {
    super(message);
    this.status = status;
    this.code = code ?? "other";
  }
}

export function actAs(userId) {
  chosenUser = userId === page.userId ? null : userId;
}

/** Return an address of the API with its parameters, and the user if one was chosen. */
export function address(path, params = {}) {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== null && value !== ""));
  if (chosenUser) query.set("user_id", chosenUser);
  return query.size ? `${path}?${query}` : path;
}

/** Return the response's JSON, null for an empty one; throw ApiError, with the code `network` if nothing answers. */
export async function call(method, path, { params, body } = {}) {
  const headers = { Accept: "application/json" };
  if (body) headers["Content-Type"] = "application/json";
  const response = await request(address(path, params), { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  let data = null;
  try {
    data = text ? JSON.parse(text) : null;
  } catch {
    // A proxy's page, for example.
  }
  if (!response.ok) throw new ApiError(response.status, data?.error);
  return data;
}

/** Return the response; a frame of a site sends its session, and renews one that has ended. */
export async function request(url, { method = "GET", headers = {}, body } = {}) {
  const send = () => fetch(url, { method, headers: { ...headers, ...identity(method) }, body, credentials: isEmbedded ? "omit" : "same-origin" });
  const sent = sessionText();
  try {
    const response = await send();
    if (!isEmbedded || response.status !== 401) return response;
    await renewSession(sent);
    return await send();
  } catch {
    throw new ApiError(0, { code: "network" });
  }
}

/** Download what a link leads to; a frame of a site does it by a request, since a link carries no session. */
export async function download(event) {
  if (!isEmbedded) return;
  event.preventDefault();
  const response = await request(event.currentTarget.href);
  if (!response.ok) return;
  const name = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? "conversation";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function identity(method) {
  if (isEmbedded) return { Authorization: `Bearer ${sessionText()}`, "Accept-Language": document.documentElement.lang };
  return method === "GET" ? {} : { "X-CSRFToken": csrfToken() };
}

/** Return the token that changes need: the cookie's, which a sign-in in another tab renews. */
function csrfToken() {
  return /(?:^|; )csrftoken=([^;]+)/.exec(document.cookie)?.[1] ?? page.csrfToken;
}
