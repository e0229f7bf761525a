// The login: asks for the home's token when the daemon wants it.

import { login } from "../api.js";
import { keepToken } from "../send.js";
import { html, useState } from "../ui.js";
import { Dialog } from "./dialog.js";
import { Paste } from "./small.js";

export function Login() {
  const now = login.value;
  return now && html`<${Form} key=${now} wrong=${now.wrong} done=${now.done} />`;
}

/** @param {{ wrong: boolean, done: (given: boolean) => void }} props */
function Form({ wrong, done }) {
  const [text, setText] = useState("");
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    const found = text.trim().match(/[0-9a-f]{16,}$/);
    if (!found) return;
    keepToken(found[0]);
    done(true);
  };
  return html`
    <${Dialog} title="The token of this home" onClose=${() => done(false)}>
      <form onSubmit=${submit}>
        <p>This daemon does this only for who may read its home. The token stays in this tab and is forgotten when it closes.</p>
        <${Paste} label="Print a link that opens this page with the token" text="runmesh ui" />
        <label class="field">Token, or the whole link
          <input autofocus type="password" autocomplete="off" value=${text} aria-invalid=${wrong} onInput=${(/** @type {any} */ event) => setText(event.target.value)} />
        </label>
        ${wrong && html`<p class="wrong" role="alert">That was not the token of this home.</p>`}
        <div class="actions">
          <button type="button" onClick=${() => done(false)}>Not now</button>
          <button type="submit" class="primary">Open</button>
        </div>
      </form>
    <//>
  `;
}
