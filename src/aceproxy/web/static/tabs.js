/** The two pages about what was: past streams, and how well links have played. */

import { h } from "./dom.js";
import { routeTo } from "./router.js";
import { t } from "./texts.js";

const PAST = ["history", "links"];

/** Build the way from one to the other; `current` is the page that it stands on. */
export function pastTabs(current) {
  const link = (name) => h("a", { class: "tab", href: routeTo(name), "aria-current": name === current ? "page" : null, text: t.pastTabs[name] });
  return h("nav", { class: "tabs", "aria-label": t.views.history }, ...PAST.map(link));
}
