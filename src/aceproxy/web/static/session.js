/** Who we are to the server: a stranger, a viewer or an admin; signing in and out. */

import { get, remove, send, setCsrf } from "./api.js";
import { h, setText, show } from "./dom.js";
import { t } from "./texts.js";

class Session {
  constructor() {
    this.role = null;
    this.name = "";
    this.signedIn = false;
    this.passwordSet = null; // whether there is a password, null where that is not told
    this.known = false; // whether the server has sessions at all
    this.listeners = [];
  }

  get isAdmin() {
    return this.role === "admin";
  }

  /** Call `listener()` whenever role or name have changed. */
  listen(listener) {
    this.listeners.push(listener);
  }

  /** Ask the server who we are. Throws an ApiError if it cannot be asked. */
  async load() {
    try {
      this.take(await get("api/session"));
    } catch (error) {
      if (error.status !== 404) throw error;
      this.take({ role: "admin", name: "", csrf: null, signed_in: false }, false); // a server that asks nobody
    }
  }

  /** Sign in with `{ password }` or `{ token }`. Throws an ApiError that says why not. */
  async signIn(proof) {
    await send("POST", "api/session", proof);
    await this.load();
  }

  async signOut() {
    await remove("api/session");
    await this.load();
  }

  take({ role, name, csrf, signed_in: signedIn, password_set: passwordSet }, known = true) {
    this.role = role ?? null;
    this.name = name ?? "";
    this.signedIn = Boolean(signedIn);
    this.passwordSet = passwordSet ?? null;
    this.known = known;
    setCsrf(csrf ?? null);
    for (const listener of this.listeners) listener();
  }

  /** Resolve to true once we are an admin: at once, or after a dialog that asks for the password. */
  async ensureAdmin() {
    return this.isAdmin || (await askPassword(this)) === true;
  }
}

/** The one session of this page. */
export const session = new Session();

/** The fields of signing in, for the page and for the dialog. `done()` is called when it worked. */
export function signInForm(done) {
  const password = h("input", {
    type: "password",
    name: "password",
    id: "password",
    autocomplete: "current-password",
    required: true,
    maxlength: 1000,
  });
  const problem = h("p", { class: "form-problem", role: "alert", hidden: true });
  const button = h("button", { type: "submit", class: "button primary", text: t.session.signIn });
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    show(problem, false);
    try {
      await session.signIn({ password: password.value });
      if (session.role === null) throw new Error(t.session.refused);
      done();
    } catch (error) {
      setText(problem, error.message);
      show(problem, true);
      password.select();
    }
    button.disabled = false;
  };
  const form = h(
    "form",
    { class: "sign-in", onsubmit: submit },
    h("input", { type: "text", name: "username", autocomplete: "username", value: "admin", hidden: true }), // for password stores
    h("label", { for: "password", text: t.session.secret }),
    password,
    problem,
    button,
    h("p", { class: "quiet small", text: t.session.hint }),
  );
  return { form, focus: () => password.focus() };
}

function askPassword(current) {
  return new Promise((resolve) => {
    const fields = signInForm(() => dialog.close("yes"));
    const dialog = h(
      "dialog",
      { class: "ask", "aria-labelledby": "sign-in-title" },
      h("h2", { id: "sign-in-title", text: t.session.needed }),
      h("p", { class: "quiet", text: t.session.neededWhy }),
      fields.form,
      h("button", { type: "button", class: "button", text: t.cancel, onclick: () => dialog.close("no") }),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes" && current.isAdmin);
    });
    document.body.append(dialog);
    dialog.showModal();
    fields.focus();
  });
}
