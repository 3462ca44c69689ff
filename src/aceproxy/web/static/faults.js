/** Whose fault something was, as a word with a colour. */

import { h } from "./dom.js";
import { t } from "./texts.js";

/** Nothing (false) where nobody is to blame; that a player goes is told as its doing, and no fault. */
export function faultBadge(fault, reason) {
  if (fault === "none" || reason === "client_left") return false;
  return h("span", { class: "fault", "data-fault": fault, title: t.whose, text: t.faults[fault] ?? fault });
}
