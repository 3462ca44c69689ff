/** The password of the admin, and ending the sessions of other browsers. */

import { remove, send } from "./api.js";
import { attempt } from "./actions.js";
import { h, setText, show } from "./dom.js";
import { ask } from "./feedback.js";
import { count } from "./format.js";
import { session } from "./session.js";
import { t } from "./texts.js";

export class PasswordBox {
  constructor() {
    const field = (name, words, complete) => {
      const input = h("input", { type: "password", name, autocomplete: complete, maxlength: 1000 });
      return { input, root: h("label", { class: "form-field" }, h("span", { text: words }), input) };
    };
    this.current = field("current", t.passwordCurrent, "current-password");
    this.fresh = field("password", t.passwordNew, "new-password");
    this.fresh.input.required = true;
    this.problem = h("p", { class: "form-problem", role: "alert", hidden: true });
    this.removeButton = h("button", { type: "button", class: "button stop", text: t.passwordRemove, onclick: () => this.remove() });
    const form = h(
      "form",
      { class: "password-form", onsubmit: (event) => this.set(event) },
      h("input", { type: "text", name: "username", autocomplete: "username", value: "admin", hidden: true }), // for password stores
      this.current.root,
      this.fresh.root,
      h("button", { type: "submit", class: "button primary", text: t.passwordSet }),
      this.problem,
    );
    const others = h("button", { type: "button", class: "button", text: t.othersOut, onclick: () => this.endOthers() });
    this.root = h(
      "section",
      { class: "panel", hidden: true },
      h("h2", { text: t.password }),
      h("p", { class: "quiet", text: t.passwordLead }),
      form,
      h("div", { class: "card-buttons" }, this.removeButton, others),
    );
    session.listen(() => this.draw());
  }

  draw() {
    show(this.root, session.isAdmin && session.signedIn && session.passwordSet !== null);
    show(this.current.root, Boolean(session.passwordSet));
    show(this.removeButton, Boolean(session.passwordSet));
  }

  async set(event) {
    event.preventDefault();
    const order = { password: this.fresh.input.value };
    if (this.current.input.value) order.current = this.current.input.value;
    let problem = "";
    const call = async () => {
      try {
        return await send("PUT", "api/password", order);
      } catch (error) {
        problem = error.message;
        throw error;
      }
    };
    const done = await attempt(call, () => t.passwordDone);
    setText(this.problem, problem);
    show(this.problem, problem !== "");
    if (done === null) return;
    this.fresh.input.value = "";
    this.current.input.value = "";
    await session.load();
  }

  async remove() {
    if (!(await ask({ title: t.passwordGoneTitle, subject: "", body: t.passwordGoneBody, confirm: t.passwordRemove }))) return;
    if (await attempt(() => remove("api/password"), () => t.passwordGone)) await session.load();
  }

  async endOthers() {
    if (!(await ask({ title: t.othersOutTitle, subject: "", body: t.othersOutBody, confirm: t.othersOut }))) return;
    await attempt(() => remove("api/sessions"), (answer) => t.othersOutDone(count(answer.sessions_ended)));
  }
}
