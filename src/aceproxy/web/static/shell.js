/** The frame of the page: navigation, the state in the head, and the choices of language and look in the foot. */

import { choices } from "./choices.js";
import { h, setAttribute, setText } from "./dom.js";
import { span } from "./format.js";
import { icon } from "./icons.js";
import { routeTo } from "./router.js";
import { detailWords } from "./server_words.js";
import { changeLanguage, language, t } from "./texts.js";
import { LANGUAGES } from "./texts/languages.js";

const PAGES = { overview: "home", engines: "engine", history: "clock", log: "lines", settings: "sliders", access: "key" };
const WITHIN = { stream: "overview", links: "history" }; // pages that are reached from another one
const byId = (id) => document.getElementById(id);

function chooseTheme(theme) {
  document.documentElement.dataset.chosenTheme = theme;
  choices.set("theme", theme);
  dispatchEvent(new Event("aceproxy-theme"));
}

function select(label, values, chosen, choose) {
  const options = Object.entries(values).map(([value, words]) => h("option", { value, text: words, selected: value === chosen }));
  const box = h("select", { onchange: () => choose(box.value) }, ...options);
  return h("label", { class: "field" }, h("span", { text: label }), box);
}

export class Shell {
  constructor() {
    this.links = {};
    const items = Object.entries(PAGES).map(([name, picture]) => {
      this.links[name] = h("a", { class: "nav-link", href: routeTo(name) }, icon(picture), h("span", { text: t.views[name] }));
      return h("li", {}, this.links[name]);
    });
    byId("nav").append(h("ul", {}, ...items));
    byId("foot").append(
      select(t.languageLabel, LANGUAGES, language, changeLanguage),
      select(t.themeLabel, t.themes, choices.get("theme") ?? "auto", chooseTheme),
    );
    byId("skip").addEventListener("click", (event) => {
      event.preventDefault(); // the address after # names the page
      byId("main").focus();
    });
  }

  /** Mark the page that is shown, or the one it is reached from. */
  showPage(name) {
    const marked = WITHIN[name] ?? name;
    for (const [page, link] of Object.entries(this.links)) setAttribute(link, "aria-current", page === marked ? "page" : null);
  }

  showVersion(version) {
    setText(byId("version"), version ?? "");
  }

  /** Take an answer of /api/health. */
  showHealth(health) {
    this.showVersion(health.version);
    const asked = (health.engines ?? []).some((engine) => engine.state !== "unknown");
    this.showStatus(asked || !health.engines ? health.status : "unknown", health.message);
    setText(byId("uptime"), t.up(span(health.uptime_s)));
  }

  /** The same from the engines and the sums that events bring. */
  showEngines(engines, stats) {
    const up = engines.filter((engine) => engine.state === "up").length;
    const asked = engines.some((engine) => engine.state !== "unknown");
    this.showStatus(!asked ? "unknown" : up === engines.length ? "healthy" : up ? "degraded" : "unhealthy", "");
    if (stats) setText(byId("uptime"), t.up(span(stats.uptime_s)));
  }

  showStatus(status, message) {
    const pill = byId("health");
    setText(pill, t.health[status] ?? status ?? "");
    setAttribute(pill, "data-status", status);
    setAttribute(pill, "title", detailWords(message ?? "") || null);
  }

  /** Say whether what is shown is fresh. */
  showContact(fresh) {
    setText(byId("contact"), fresh ? t.fresh : t.stale);
    setAttribute(byId("contact"), "data-fresh", fresh ? "yes" : "no");
    byId("main").classList.toggle("old", !fresh);
  }

  /** Say who we are. */
  showSession(session) {
    const words = session.known ? (session.signedIn ? session.name || t.session.roles.admin : t.session.signIn) : "";
    setText(byId("account"), words);
    byId("account").hidden = words === "";
  }
}
