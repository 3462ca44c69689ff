/**
 * The texts of the pages, in the language that was chosen, else in the first one of the browser's that there is a
 * catalogue for. For another language, copy the folder `texts/it`, translate it, and add it to `texts/languages.js`.
 * Reason names are those of docs/reasons.md; one that a catalogue lacks is shown by its name.
 */

import { choices } from "./choices.js";
import { FALLBACK, LANGUAGES } from "./texts/languages.js";

function wanted() {
  const chosen = choices.get("language");
  if (chosen in LANGUAGES) return chosen;
  const asked = (navigator.languages ?? [navigator.language]).map((tag) => tag.slice(0, 2).toLowerCase());
  return asked.find((tag) => tag in LANGUAGES) ?? FALLBACK;
}

/** The language in use. */
export const language = wanted();

/** The catalogue in use. */
export const t = (await import(`./texts/${language}/index.js`)).default;

/** A reason in words. */
export function reasonWords(reason) {
  return t.reasons[reason] ?? String(reason ?? "").replaceAll("_", " ");
}

/** Give the page its language, and every element with `data-text` its text. */
export function translatePage(root = document) {
  document.documentElement.lang = t.lang;
  for (const node of root.querySelectorAll("[data-text]")) node.textContent = t.page[node.dataset.text];
  for (const node of root.querySelectorAll("[data-label]")) node.setAttribute("aria-label", t.page[node.dataset.label]);
}

/** Change the language, for this browser, and show the page anew. */
export function changeLanguage(name) {
  choices.set("language", name);
  location.reload();
}
