/** Talking back to the user: the question before something is ended, short notes on what came of it, and copying. */

import { h, setText } from "./dom.js";
import { icon, swapIcon } from "./icons.js";
import { t } from "./texts.js";

const NOTE_MS = 6000;
const NOTES = 4;

/**
 * Ask in a dialog of the page. `subject` names what is meant (outside text). Resolves to true only if the question was
 * answered with the confirming button; Escape, Cancel and a click beside the dialog mean no.
 */
export function ask({ title, subject, body, confirm }) {
  const no = h("button", { type: "submit", value: "no", class: "button", text: t.cancel, autofocus: true });
  const yes = h("button", { type: "submit", value: "yes", class: "button danger", text: confirm });
  const dialog = h(
    "dialog",
    { class: "ask", "aria-labelledby": "ask-title", "aria-describedby": "ask-body" },
    h(
      "form",
      { method: "dialog" },
      h("h2", { id: "ask-title", text: title }),
      subject && h("p", { class: "ask-subject" }, h("bdi", { text: subject })),
      h("p", { id: "ask-body", text: body }),
      h("div", { class: "ask-buttons" }, no, yes),
    ),
  );
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close("no");
  });
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    dialog.showModal();
  });
}

/** Show a short note for a few seconds; `bad` ones stay until they are closed. At most four at a time. */
export function note(text, { bad = false } = {}) {
  const region = document.getElementById("toasts");
  const toast = h("div", { class: bad ? "toast bad" : "toast" }, h("bdi", { text }));
  const drop = () => toast.remove();
  const close = h("button", { type: "button", class: "icon-button", "aria-label": t.close, onclick: drop }, icon("cross"));
  toast.append(close);
  while (region.children.length >= NOTES) region.firstElementChild.remove();
  region.append(toast);
  if (!bad) setTimeout(drop, NOTE_MS);
}

async function copyText(text) {
  if (navigator.clipboard && window.isSecureContext) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Refused by a permission: the older way below may still be allowed.
    }
  }
  return copyBySelection(text);
}

// Home servers are mostly reached over plain http, where browsers offer no clipboard object.
function copyBySelection(text) {
  const before = document.activeElement;
  const area = h("textarea", { class: "off-screen", readonly: true, "aria-hidden": "true", tabindex: "-1" });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  before?.focus({ preventScroll: true });
  return done;
}

/**
 * A button that copies `textOf()` and says so on itself for a moment. `label` is what it shows (none: the icon only,
 * then `name` is needed for screen readers).
 */
export function copyButton({ label = "", name = label, textOf, className = "button" }) {
  const picture = icon("copy");
  const words = h("span", { text: label });
  const button = h("button", { type: "button", class: className, "aria-label": name || null }, picture);
  if (label) button.append(words);
  let timer = 0;
  const settle = (done) => {
    swapIcon(picture, done ? "check" : "copy");
    button.classList.toggle("done", done);
    if (label) setText(words, done ? t.copied : label);
    clearTimeout(timer);
    if (done) timer = setTimeout(() => settle(false), 2000);
  };
  button.addEventListener("click", async () => {
    const text = textOf();
    if (!text) return;
    const done = await copyText(text);
    settle(done);
    if (done) note(t.copied);
    else note(t.copyFailed, { bad: true });
  });
  return button;
}
