// Changes of code as people read them: a file at a time, with the lines that went and came.
//
// Invariant: whatever the text is, it is shown; what is no diff is shown as a text.

import { plural } from "../format.js";
import { cls, html, useState } from "../ui.js";

/** Of one diff so many lines are shown before a person asks for more, and a file up to so many is open. */
const MOST_LINES = 3_000;
const OPEN_LINES = 400;

/** @typedef {{ kind: " " | "+" | "-" | "@", before?: number, after?: number, text: string }} Line */
/** @typedef {{ name: string, added: number, removed: number, lines: Line[] }} FileChange */

/** The name in a line such as `+++ b/train.py`. @param {string} line */
const nameIn = (line) => line.slice(4).replace(/\t.*$/, "").replace(/^[ab]\//, "");

/** Takes a unified diff apart. @param {string} text @returns {FileChange[]} */
export function parseDiff(text) {
  /** @type {FileChange[]} */
  const files = [];
  let [before, after, beforeLeft, afterLeft] = [0, 0, 0, 0];
  const start = (/** @type {string} */ name) => files.push({ name, added: 0, removed: 0, lines: [] });
  for (const line of text.split(/\r?\n/)) {
    const file = files.at(-1);
    const hunk = line.match(/^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@/);
    if (beforeLeft > 0 || afterLeft > 0) {
      const kind = /** @type {Line["kind"]} */ (line[0] === "+" || line[0] === "-" ? line[0] : " ");
      if (line[0] === "\\" || !file) continue;
      file.lines.push({ kind, before: kind === "+" ? undefined : before, after: kind === "-" ? undefined : after, text: line.slice(1) });
      if (kind !== "+") [before, beforeLeft] = [before + 1, beforeLeft - 1];
      if (kind !== "-") [after, afterLeft] = [after + 1, afterLeft - 1];
      if (kind === "+") file.added += 1;
      if (kind === "-") file.removed += 1;
    } else if (hunk && file) {
      [before, after] = [Number(hunk[1]), Number(hunk[3])];
      [beforeLeft, afterLeft] = [Number(hunk[2] ?? 1), Number(hunk[4] ?? 1)];
      file.lines.push({ kind: "@", text: line });
    } else if (line.startsWith("diff --git ")) {
      start(line.replace(/^.* b\//, ""));
    } else if (line.startsWith("--- ")) {
      if (!file || file.lines.length > 0) start(nameIn(line));
    } else if (line.startsWith("+++ ") && file && nameIn(line) !== "/dev/null") {
      file.name = nameIn(line);
    } else if (/^(Binary files|new file|deleted file|rename (from|to)|similarity)/.test(line) && file) {
      file.lines.push({ kind: "@", text: line });
    }
  }
  return files;
}

/** @param {{ text: string }} props */
export function Diff({ text }) {
  const [all, setAll] = useState(false);
  const files = parseDiff(text);
  if (files.length === 0) return html`<pre class="text" tabindex="0"><code>${text}</code></pre>`;
  let room = all ? Infinity : MOST_LINES;
  const shown = files.map((file) => {
    const lines = file.lines.slice(0, Math.max(0, room));
    room -= lines.length;
    return { ...file, lines, cut: file.lines.length - lines.length };
  });
  const [added, removed, cut] = shown.reduce(([a, r, c], file) => [a + file.added, r + file.removed, c + file.cut], [0, 0, 0]);
  return html`
    <div class="diff">
      <p class="muted">${plural(files.length, "file")} changed, <span class="plus">+${added}</span> <span class="minus">−${removed}</span></p>
      ${shown.map((file) => html`
        <details key=${file.name} open=${file.lines.length <= OPEN_LINES}>
          <summary><bdi class="mono">${file.name}</bdi><span class="plus">+${file.added}</span><span class="minus">−${file.removed}</span></summary>
          <div class="diff-lines" tabindex="0" role="region" aria-label=${`Changes of ${file.name}`}><table><tbody>${file.lines.map((line) => html`
            <tr class=${cls({ "+": "came-line", "-": "went-line", "@": "place-line", " ": "" }[line.kind])}>
              <td class="at">${line.before ?? ""}</td><td class="at">${line.after ?? ""}</td>
              <td class="sign">${line.kind === "@" ? "" : line.kind}</td><td><code>${line.text}</code></td></tr>`)}</tbody></table></div>
        </details>`)}
      ${cut > 0 && html`<button class="link" onClick=${() => setAll(true)}>Show ${plural(cut, "more line")}</button>`}
    </div>
  `;
}
