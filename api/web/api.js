// The only way to the API: whose token is sent, what a refusal is, and the server's time.

/** What the API, or the way to it, said instead of yes. Status 0: no answer came at all. */
export class Refusal extends Error {
  constructor(status, { code = "NETWORK", error = "", details } = {}) {
    super(error);
    Object.assign(this, { status, code, details });
    this.isUnknown = !status || status === 429 || status >= 500; // perhaps done: safe to repeat
    // The session has gone on meanwhile; while the time is taken it only waits.
    this.isStale = [404, 409, 410].includes(status) && code !== "TIME_SLOT_CONFLICT";
  }
}

let pageToken; // for elements that have none of their own
let ahead = 0; // how far the server's clock is ahead of this one

/** Give a page's elements their token: a string, or a function that can renew it. */
export function useToken(source) {
  pageToken = source;
}

/** The server's time, however this device's clock is set. */
export const now = () => Date.now() + ahead;

/** Call the API for an element; return the answer's data, the same object while it is unchanged. */
export async function call(host, ...request) {
  const token = await tokenOf(host, false);
  try {
    return await exchange(host, token, ...request);
  } catch (refusal) {
    const renewed = refusal.status === 401 && (await tokenOf(host, true));
    if (!renewed || renewed === token) throw refusal;
    return exchange(host, renewed, ...request);
  }
}

// Undefined: there is no source of tokens, so cookies speak. Null: nobody is signed in.
async function tokenOf(host, renew) {
  const source = host.token ?? pageToken;
  return typeof source === "function" ? ((await source({ renew })) ?? null) : source;
}

async function exchange(host, token, kept, method, path, body, headers) {
  if (token === null) throw new Refusal(401);
  let response, answer;
  try {
    response = await fetch(`${host.getAttribute("api-base") ?? ""}/api${path}`, {
      method,
      body: body && JSON.stringify(body),
      headers: {
        ...(body && { "Content-Type": "application/json" }),
        ...(token && { Authorization: `Bearer ${token}` }),
        ...(kept[path] && { "If-None-Match": kept[path].etag }),
        ...headers,
      },
      signal: AbortSignal.timeout(20_000),
    });
    answer = response.status === 304 ? kept[path] : await response.json();
  } catch {
    throw new Refusal(response?.ok === false ? response.status : 0);
  }
  const date = Date.parse(response.headers.get("Date"));
  if (Math.abs(date - now()) > 2000) ahead = date - Date.now();
  if (response.status >= 400) throw new Refusal(response.status, answer);
  const etag = response.headers.get("ETag");
  if (etag) kept[path] = { ...answer, etag };
  return answer.data;
}
