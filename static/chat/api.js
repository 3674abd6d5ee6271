// Calls of the server's REST API, as the user that the page speaks for.

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
  if (method !== "GET") headers["X-CSRFToken"] = csrfToken();
  if (body) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(address(path, params), { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new ApiError(0, { code: "network" });
  }
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

/** Return the token that changes need: the cookie's, which a sign-in in another tab renews. */
function csrfToken() {
  return /(?:^|; )csrftoken=([^;]+)/.exec(document.cookie)?.[1] ?? page.csrfToken;
}
