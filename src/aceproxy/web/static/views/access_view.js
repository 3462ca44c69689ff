/** Who may do what: signing in and out, and the tokens of players. */

import { get, remove, send } from "../api.js";
import { attempt } from "../actions.js";
import { h, KeyedList, outside, setText, show } from "../dom.js";
import { ask, copyButton, note } from "../feedback.js";
import { count, dateTime } from "../format.js";
import { icon } from "../icons.js";
import { PasswordBox } from "../password_box.js";
import { SecretBox } from "../secret_box.js";
import { session, signInForm } from "../session.js";
import { t } from "../texts.js";

class TokenRow {
  constructor(token, revoke) {
    const made = token.created_at ? t.tokenMade(dateTime(token.created_at)) : "";
    this.used = h("span");
    this.playing = h("span");
    this.root = h(
      "li",
      { class: "token" },
      h(
        "div",
        {},
        h("p", {}, outside("agent", token.name)),
        h("p", { class: "quiet small" }, h("span", { text: [t.tokenRoles[token.role] ?? token.role, made].filter(Boolean).join(" · ") }), " ", this.used, " ", this.playing),
      ),
      h("button", { type: "button", class: "button stop", onclick: () => revoke(token) }, icon("cross"), h("span", { text: t.tokenRevoke })),
    );
  }

  update(token) {
    setText(this.used, token.last_used_at ? t.tokenUsed(dateTime(token.last_used_at)) : t.tokenUnused);
    setText(this.playing, token.clients ? t.tokenPlaying(count(token.clients)) : "");
  }
}

export class AccessView {
  constructor() {
    this.who = h("p", { class: "who" });
    this.out = h("button", { type: "button", class: "button", text: t.session.signOut, onclick: () => this.signOut() });
    this.fields = signInForm(() => {
      note(t.session.welcome);
      this.enter();
    });
    this.signBox = h("div", {}, this.fields.form);
    this.buildTokens();
    this.passwords = new PasswordBox();
    this.secret = new SecretBox();
    this.root = h(
      "div",
      { class: "view access-view" },
      h("h1", { text: t.views.access }),
      h("section", { class: "panel" }, this.who, this.signBox, this.out),
      this.tokenBox,
      this.passwords.root,
      this.secret.root,
    );
    session.listen(() => this.draw());
    this.draw();
  }

  buildTokens() {
    const list = h("ul", { class: "tokens" });
    this.list = new KeyedList(list, (token) => token.token_id, (token) => new TokenRow(token, (one) => this.revoke(one)));
    this.none = h("p", { class: "quiet", text: t.tokensNone });
    this.name = h("input", { type: "text", id: "token-name", maxlength: 60, required: true, autocomplete: "off" });
    this.role = h(
      "select",
      { "aria-label": t.tokenRole },
      ...Object.entries(t.tokenRoles).map(([role, words]) => h("option", { value: role, text: words })),
    );
    this.fresh = h("output", { class: "play-address", tabindex: "0", "aria-label": t.tokenNew });
    this.freshBox = h(
      "div",
      { class: "fresh-token", hidden: true },
      h("p", { class: "quiet", text: t.tokenOnce }),
      h("div", { class: "play-row" }, this.fresh, copyButton({ label: t.tokenCopy, textOf: () => this.fresh.textContent, className: "button primary" })),
    );
    const form = h(
      "form",
      { class: "play-row", onsubmit: (event) => this.create(event) },
      h("label", { class: "off-screen", for: "token-name", text: t.tokenName }),
      this.name,
      this.role,
      h("button", { type: "submit", class: "button primary", text: t.tokenCreate }),
    );
    this.name.placeholder = t.tokenName;
    this.tokenBox = h(
      "section",
      { class: "panel", hidden: true },
      h("h2", { text: t.tokens }),
      h("p", { class: "quiet", text: t.tokensLead }),
      form,
      this.freshBox,
      this.none,
      list,
    );
  }

  async enter() {
    if (!session.isAdmin || !session.known) return;
    try {
      const answer = await get("api/tokens");
      const tokens = answer.tokens ?? [];
      this.list.update(tokens);
      show(this.none, tokens.length === 0);
      show(this.tokenBox, true);
    } catch {
      show(this.tokenBox, false); // a server without tokens
    }
  }

  leave() {
    this.secret.leave();
    show(this.freshBox, false); // it is shown once
    setText(this.fresh, "");
  }

  update() {}

  draw() {
    const words = session.known ? t.session.roles[session.role ?? "none"] : t.session.open;
    setText(this.who, session.signedIn && session.name ? t.session.as(session.name, words) : words);
    show(this.signBox, session.known && !session.isAdmin);
    show(this.out, session.signedIn);
    if (!session.isAdmin) show(this.tokenBox, false);
    this.passwords.draw();
    this.secret.draw();
  }

  async signOut() {
    try {
      await session.signOut();
      note(t.session.goodbye);
    } catch (error) {
      note(t.failed(error.message), { bad: true });
    }
  }

  async create(event) {
    event.preventDefault();
    const made = await attempt(() => send("POST", "api/tokens", { name: this.name.value.trim(), role: this.role.value }));
    if (made === null) return;
    setText(this.fresh, made.token);
    show(this.freshBox, true);
    this.name.value = "";
    await this.enter();
  }

  async revoke(token) {
    const question = { title: t.revokeTitle, subject: token.name, body: t.revokeBody, confirm: t.tokenRevoke };
    if (!(await ask(question))) return;
    const wordsOf = (answer) => (answer.kept === false ? "" : t.revokeDone(token.name));
    const done = await attempt(() => remove(`api/tokens/${encodeURIComponent(token.token_id)}`), wordsOf);
    if (done === null) return;
    if (done.kept === false) note(t.revokeNotKept(token.name), { bad: true });
    await this.enter();
  }
}
