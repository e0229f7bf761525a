// The pictures of runs beside one another: those that several runs have under one path.

import { api } from "../api.js";
import { html, useEffect, useRef, useState } from "../ui.js";
import { imageType } from "./preview.js";

/** Rows of pictures that are shown, and the largest picture that is fetched for it, in bytes. */
const MOST_PATHS = 12;
const MAX_BYTES = 8 << 20;

/** @typedef {import("../api.js").Run} Run */

/** @param {{ runs: Run[] }} props */
export function Images({ runs }) {
  const [all, setAll] = useState(/** @type {Map<string, import("../api.js").Artifact>[]} */ ([]));
  const key = runs.map((run) => run.id).join();
  useEffect(() => {
    let late = false;
    const images = async (/** @type {Run} */ run) => {
      const files = run.artifacts.length ? await api.allArtifacts(run.id).catch(() => []) : [];
      return new Map(files.filter(({ path, file }) => imageType(path) && file && file.size <= MAX_BYTES).map((entry) => [entry.path, entry]));
    };
    Promise.all(runs.map(images)).then((found) => late || setAll(found));
    return () => void (late = true);
  }, [key]);
  const paths = [...new Set(all.flatMap((files) => [...files.keys()]))].sort().slice(0, MOST_PATHS);
  if (paths.length === 0) return null;
  return html`
    <section aria-label="Pictures">
      <div class="charts-head"><h2>Pictures</h2></div>
      ${paths.map((path) => html`<div class="image-row" key=${path}><h3><bdi>${path}</bdi></h3><div>
        ${runs.map((run, at) => all[at]?.has(path) && html`<figure key=${run.id}><${Picture} run=${run.id} path=${path} name=${run.name} /><figcaption><bdi>${run.name}</bdi></figcaption></figure>`)}
      </div></div>`)}
    </section>
  `;
}

/** A picture, fetched when it comes near. @param {{ run: string, path: string, name: string }} props */
function Picture({ run, path, name }) {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const [url, setUrl] = useState("");
  useEffect(() => {
    let made = "";
    const observer = new IntersectionObserver(async (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      const blob = await (await api.artifact(run, path)).blob().catch(() => null);
      if (!blob) return;
      made = URL.createObjectURL(new Blob([blob], { type: imageType(path) }));
      setUrl(made);
    }, { rootMargin: "200px" });
    observer.observe(/** @type {HTMLDivElement} */ (box.current));
    return () => {
      observer.disconnect();
      if (made) URL.revokeObjectURL(made);
    };
  }, [run, path]);
  return html`<div class="image-box" ref=${box}>${url && html`<img class="picture" src=${url} alt=${`${path} of ${name}`} />`}</div>`;
}
