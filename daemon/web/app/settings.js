// Settings of this browser, which are nobody else's business.

/** @template T @param {string} key @param {T} otherwise @returns {T} */
export function setting(key, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(`runmesh ${key}`) ?? "null") ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** @param {string} key @param {unknown} value */
export function keepSetting(key, value) {
  try {
    localStorage.setItem(`runmesh ${key}`, JSON.stringify(value));
  } catch {
    // A browser that keeps nothing shows the defaults next time.
  }
}
