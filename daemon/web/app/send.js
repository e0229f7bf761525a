// One request to the daemon: where it goes, the token it carries, and what was asked ahead of the page.
//
// Invariants: this imports nothing, for it is there before the other modules are. The token lives in sessionStorage: it ends
// with the tab, and since it is no cookie, no other page can have a browser send it. An answer that was asked ahead is
// given once, to the first request that is the same; only a good one is, so whatever failed is asked again and is told then.

/** Where this workspace is: a device may hold several, each below a path of its own. */
export const ROOT = `${location.pathname.match(/^\/w\/[^/]+/)?.[0] ?? ""}/api/v1`;
const TOKEN = "runmesh-token";

export const token = () => sessionStorage.getItem(TOKEN);

/** @param {string | null} value */
export function keepToken(value) {
  if (value) sessionStorage.setItem(TOKEN, value);
  else sessionStorage.removeItem(TOKEN);
}

/** Takes the token out of a link that `runmesh ui` printed, and out of the address bar and history. */
export function takeTokenFromLink() {
  const found = location.hash.match(/^#token=([0-9a-f]+)$/);
  if (!found) return;
  keepToken(found[1]);
  history.replaceState(null, "", "#/");
  // Replacing the address tells nobody, so we do.
  dispatchEvent(new HashChangeEvent("hashchange"));
}

/**
 * Sends a request; what the answer means is for the caller to say.
 * @param {string} path @param {Omit<RequestInit, "headers"> & { headers?: Record<string, string> }} [options]
 */
export function request(path, { headers, ...options } = {}) {
  const held = token();
  const type = /** @type {Record<string, string>} */ (typeof options.body === "string" ? { "content-type": "application/json" } : {});
  const all = { ...type, ...headers, ...(held ? { authorization: `Bearer ${held}` } : {}) };
  return fetch(`${ROOT}/${path}`, { ...options, headers: all, cache: "no-store" });
}

/** What was asked and is not taken yet, by what it asks. @type {Map<string, Promise<unknown>>} */
const asked = new Map();

/** @param {string} path @param {string} [body] */
const name = (path, body = "") => `${path} ${body}`;

/** Asks now what the page will ask. @param {string} path @param {unknown} [body] @returns {Promise<any>} undefined if it went wrong */
export function askAhead(path, body) {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const answer = request(path, text === undefined ? {} : { method: "POST", body: text })
    .then((answer) => (answer.ok ? answer.json() : undefined))
    .catch(() => undefined);
  asked.set(name(path, text), answer);
  return answer;
}

/** What was asked ahead, if it was. @param {string} path @param {string} [body] @returns {Promise<any> | undefined} */
export function takeAhead(path, body) {
  const answer = asked.get(name(path, body));
  asked.delete(name(path, body));
  return answer;
}

/** What nobody has taken by now would be old when somebody does. */
export const forgetAhead = () => asked.clear();
