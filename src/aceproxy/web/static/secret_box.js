/** The admin secret, and replacing it: after that everything that the old one signed in is over. */

import { send } from "./api.js";
import { attempt } from "./actions.js";
import { h, setText, show } from "./dom.js";
import { ask, copyButton } from "./feedback.js";
import { session } from "./session.js";
import { t } from "./texts.js";

export class SecretBox {
  constructor() {
    this.current = h("input", { type: "password", name: "current", autocomplete: "current-password", required: true, maxlength: 1000 });
    this.fresh = h("output", { class: "play-address", tabindex: "0", "aria-label": t.secretNew });
    this.freshBox = h(
      "div",
      { class: "fresh-token", hidden: true },
      h("p", { class: "quiet", text: t.secretOnce }),
      h("div", { class: "play-row" }, this.fresh, copyButton({ label: t.secretCopy, textOf: () => this.fresh.textContent, className: "button primary" })),
    );
    const form = h(
      "form",
      { class: "password-form", onsubmit: (event) => this.replace(event) },
      h("input", { type: "text", name: "username", autocomplete: "username", value: "admin", hidden: true }), // for password stores
      h("label", { class: "form-field" }, h("span", { text: t.secretCurrent }), this.current),
      h("button", { type: "submit", class: "button stop", text: t.secretReplace }),
    );
    this.root = h("section", { class: "panel", hidden: true }, h("h2", { text: t.secret }), h("p", { class: "quiet", text: t.secretLead }), form, this.freshBox);
  }

  draw() {
    show(this.root, session.isAdmin && session.signedIn);
  }

  /** Forget what was shown: it is shown once. */
  leave() {
    show(this.freshBox, false);
    setText(this.fresh, "");
    this.current.value = "";
  }

  async replace(event) {
    event.preventDefault();
    const current = this.current.value;
    if (!(await ask({ title: t.secretTitle, subject: "", body: t.secretBody, confirm: t.secretReplace }))) return;
    const done = await attempt(() => send("POST", "api/secret", { current }), () => t.secretDone);
    if (done === null) return;
    this.current.value = "";
    setText(this.fresh, new URL(`sign-in#${done.secret}`, document.baseURI).href);
    show(this.freshBox, true);
    await session.load();
  }
}
