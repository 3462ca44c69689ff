/** The settings: what holds, where it comes from, and changing what can change while the program runs. */

import { get, send } from "../api.js";
import { attempt } from "../actions.js";
import { h, KeyedList, outside, setAttribute, setText, show } from "../dom.js";
import { session } from "../session.js";
import { t } from "../texts.js";

const PLACES = {
  "the default": "default",
  "the start": "start",
  "the environment": "environment",
  "the command line": "flags",
  "a change at run time": "runtime",
};

const LARGEST = 1e12; // of all settings, as the server has it

const plain = (value) => {
  if (value === null || value === undefined) return t.settingNone;
  if (typeof value === "boolean") return value ? t.settingYes : t.settingNo;
  return Array.isArray(value) ? value.map(String).join(", ") || t.settingNone : typeof value === "object" ? JSON.stringify(value) : String(value);
};

/** What a setting is: in the words of the page's language, else in the server's. */
const wordsOf = (setting) => t.settingWords[setting.name] ?? setting.description ?? "";

/** The unit of a setting, in the page's language where that has a word of its own. */
const unitOf = (setting) => t.settingUnits[setting.unit] ?? setting.unit ?? "";

/** What a text in a field means as a value of the setting's kind; what is no number is sent as it is, and refused. */
function typed(text, setting) {
  const words = text.trim();
  if (setting.kind === "list") return words.split(",").map((part) => part.trim()).filter(Boolean);
  if (words === "" && setting.default === null) return null;
  const number = Number(words.replace(",", "."));
  const isNumber = ["integer", "number"].includes(setting.kind) || typeof (setting.value ?? setting.default) === "number";
  return isNumber && words !== "" && Number.isFinite(number) ? number : words;
}

/** The name of the place that a value comes from, as the catalogues have it. */
function placeOf(origin) {
  return PLACES[origin] ?? "file"; // a file is told by its path
}

function limitWords(setting) {
  return [`${plain(setting.default)} ${unitOf(setting)}`.trim(), boundsOf(setting)].filter(Boolean).join("; ");
}

function boundsOf({ minimum, maximum: bound }) {
  const maximum = bound < LARGEST ? bound : null; // what every number may be at most is no news
  if (Number.isFinite(minimum) && Number.isFinite(maximum)) return `${minimum} – ${maximum}`;
  if (Number.isFinite(minimum)) return `≥ ${minimum}`;
  return Number.isFinite(maximum) ? `≤ ${maximum}` : "";
}

class SettingRow {
  constructor(setting, save) {
    this.save = save;
    this.setting = setting;
    this.origin = h("span", { class: "badge" });
    this.value = outside("setting-value");
    this.field = this.buildField(setting);
    this.button = h("button", { type: "button", class: "button", text: t.settingSave, hidden: true, onclick: () => this.commit() });
    this.reset = h("button", { type: "button", class: "button", text: t.settingReset, hidden: true, onclick: () => this.save(this, setting.name, null) });
    this.problem = h("p", { class: "form-problem", role: "alert", hidden: true });
    const id = `setting-${setting.name}`;
    setAttribute(this.field, "aria-labelledby", id);
    this.root = h(
      "li",
      { class: "setting" },
      h(
        "div",
        { class: "setting-words" },
        h("p", {}, h("code", { id, class: "setting-name", text: setting.name }), " ", this.origin),
        h("p", { class: "quiet" }, h("bdi", { text: wordsOf(setting) })),
        h("p", { class: "quiet small" }, h("span", { text: `${t.settingDefault} ` }), h("bdi", { text: limitWords(setting) })),
        setting.effect === "next_start" && h("p", { class: "quiet small", text: t.settingNext }),
      ),
      h("div", { class: "setting-field" }, setting.changeable ? this.field : this.value, setting.unit ? h("bdi", { class: "quiet", text: unitOf(setting) }) : null, this.button, this.reset),
      this.problem,
    );
  }

  buildField(setting) {
    const changed = () => show(this.button, true);
    if (setting.kind === "boolean") {
      return h("input", { type: "checkbox", class: "switch", onchange: () => this.commit() });
    }
    return h("input", {
      type: "text",
      inputmode: ["integer", "number"].includes(setting.kind) ? "decimal" : "text",
      autocomplete: "off",
      spellcheck: "false",
      oninput: changed,
      onkeydown: (event) => event.key === "Enter" && this.commit(),
    });
  }

  update(setting) {
    this.setting = setting;
    setText(this.value, plain(setting.value));
    const place = placeOf(setting.origin ?? "");
    setText(this.origin, t.origins[place]);
    setAttribute(this.origin, "data-origin", place);
    setAttribute(this.origin, "title", setting.origin);
    show(this.reset, Boolean(setting.changeable) && place === "runtime");
    if (document.activeElement === this.field && !this.button.hidden) return; // somebody is typing
    if (this.field.type === "checkbox") this.field.checked = Boolean(setting.value);
    else this.field.value = setting.value === null || setting.value === undefined ? "" : plain(setting.value);
  }

  commit() {
    const value = this.field.type === "checkbox" ? this.field.checked : typed(this.field.value, this.setting);
    this.save(this, this.setting.name, value);
  }

  settle(problem) {
    setText(this.problem, problem);
    show(this.problem, problem !== "");
    if (problem === "") show(this.button, false);
  }
}

export class SettingsView {
  constructor() {
    this.settings = [];
    const list = h("ul", { class: "settings panel", hidden: true });
    this.box = list;
    this.list = new KeyedList(list, (setting) => setting.name, (setting) => new SettingRow(setting, (...what) => this.save(...what)));
    this.search = h("input", { type: "search", placeholder: t.settingSearch, "aria-label": t.settingSearch, spellcheck: "false", oninput: () => this.draw() });
    this.only = h("input", { type: "checkbox", checked: true, onchange: () => this.draw() });
    this.reload = h("button", { type: "button", class: "button", text: t.settingReload, onclick: () => this.readAgain() });
    this.controls = h(
      "div",
      { class: "log-controls panel", hidden: true },
      this.search,
      h("label", { class: "field inline" }, this.only, h("span", { text: t.settingOnly })),
      this.reload,
    );
    this.message = h("p", { class: "loading", text: t.page.loading });
    this.enterButton = h("button", { type: "button", class: "button primary", text: t.session.signIn, onclick: () => session.ensureAdmin() });
    this.stranger = h("div", { class: "empty panel", hidden: true }, h("p", { text: t.settingsAdmin }), this.enterButton);
    this.place = h("p", { class: "quiet lead" });
    this.shown = false;
    session.listen(() => this.shown && this.load());
    this.root = h("div", { class: "view settings-view" }, h("h1", { text: t.views.settings }), h("p", { class: "quiet lead", text: t.settingsLead }), this.place, this.controls, this.message, this.stranger, list);
  }

  enter() {
    this.shown = true;
    this.load();
  }

  leave() {
    this.shown = false;
  }

  update() {}

  async load() {
    show(this.stranger, !session.isAdmin);
    if (!session.isAdmin) {
      show(this.message, false);
      show(this.controls, false);
      show(this.box, false);
      return;
    }
    try {
      const { settings, kept } = await get("api/settings");
      this.settings = settings;
      setText(this.place, kept ? t.settingsKept : t.settingsForNow);
      show(this.message, false);
      show(this.controls, true);
      show(this.box, true);
      this.draw();
    } catch (error) {
      setText(this.message, error.status === 404 ? t.settingsNone : t.failed(error.message));
      show(this.message, true);
    }
  }

  draw() {
    const words = this.search.value.trim().toLowerCase();
    const fits = (one) =>
      (!this.only.checked || one.changeable) && `${one.name} ${wordsOf(one)}`.toLowerCase().includes(words);
    this.list.update(this.settings.filter(fits));
  }

  async save(row, name, value) {
    let problem = "";
    const done = await attempt(
      async () => {
        try {
          return await send("PATCH", "api/settings", { [name]: value });
        } catch (error) {
          problem = error.message;
          throw error;
        }
      },
      () => t.settingDone(name),
    );
    row.settle(problem);
    if (done) await this.load();
  }

  async readAgain() {
    if (await attempt(() => send("POST", "api/reload"), () => t.reloadDone)) await this.load();
  }
}
