// What a view shows of the workspace, asked for again when something changed.

import { ApiError } from "./api.js";
import { throttled, tick } from "./state.js";
import { useEffect, useState } from "./ui.js";

/** How often at most, whatever is logged. */
const LEAST_MS = 1_000;

/** Asks, and asks again; what was answered last stays shown. @template T @param {() => Promise<T>} ask depends on nothing but the key @param {string} key */
export function useFresh(ask, key) {
  const [answer, setAnswer] = useState(/** @type {T | null} */ (null));
  const [error, setError] = useState(/** @type {ApiError | null} */ (null));
  useEffect(() => {
    let late = false;
    const load = () => ask().then(
      (now) => {
        if (late) return;
        setAnswer(() => now);
        setError(null);
      },
      (why) => void (!late && why instanceof ApiError && setError(why)),
    );
    const refresh = throttled(load, LEAST_MS);
    const stop = tick.subscribe(() => void refresh());
    return () => {
      late = true;
      stop();
    };
  }, [key]);
  return { answer, error };
}
