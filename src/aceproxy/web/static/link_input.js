/** The field that takes a link. */

import { h } from "./dom.js";
import { t } from "./texts.js";

/** An input for a link, with further attributes. */
export function linkInput(more = {}) {
  return h("input", {
    id: "link",
    type: "text",
    inputmode: "url",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    placeholder: t.page.playHint,
    maxlength: 4000,
    ...more,
  });
}
