/** The engines: how each is, taking one out of service and back, adding and removing; and what to do without any. */

import { get, remove, send } from "../api.js";
import { attempt } from "../actions.js";
import { h, KeyedList, outside, setText, show } from "../dom.js";
import { EngineFigures, isSick, labelOf } from "../engine_lines.js";
import { ask, copyButton } from "../feedback.js";
import { count, hostOf, NOTHING, seconds } from "../format.js";
import { icon } from "../icons.js";
import { t } from "../texts.js";

const path = (engine, action = "") => `api/aceproxy/engines/${encodeURIComponent(labelOf(engine))}${action}`;

class EngineCard {
  constructor(engine, actions) {
    this.engine = engine;
    this.figures = new EngineFigures();
    const { state, version, load, meter, trouble } = this.figures;
    this.address = outside("quiet");
    this.facts = h("p", { class: "engine-small" });
    this.drain = h("button", { type: "button", class: "button", onclick: () => actions.drain(this.engine) });
    this.remove = h(
      "button",
      { type: "button", class: "button stop", onclick: () => actions.remove(this.engine) },
      icon("cross"),
      h("span", { text: t.engineRemove }),
    );
    this.buttons = h("div", { class: "card-buttons" }, this.drain, this.remove);
    this.root = h(
      "li",
      { class: "panel engine-card" },
      h("p", { class: "engine-line" }, outside("engine-host", labelOf(engine)), state),
      h("p", {}, this.address),
      h("p", { class: "engine-line engine-small" }, version, load),
      meter,
      this.facts,
      trouble,
      this.buttons,
    );
  }

  update([engine, canChange]) {
    this.engine = engine;
    this.figures.update(engine);
    setText(this.address, hostOf(engine.url) === labelOf(engine) ? "" : hostOf(engine.url));
    setText(this.drain, engine.draining ? t.engineUndrain : t.engineDrain);
    setText(this.facts, factsOf(engine));
    show(this.buttons, canChange);
  }
}

function factsOf(engine) {
  const { start_s: start, failure_rate: failures, starts } = engine.experience ?? {};
  return [
    engine.leaving ? t.engineLeaving : "",
    Number.isFinite(engine.weight) ? t.engineWeight(engine.weight) : "",
    Number.isFinite(start) ? t.engineStart(seconds(start)) : "",
    starts ? t.engineFailures(count(Math.round(failures * 100))) : "",
    engine.breaker && engine.breaker !== "closed" ? t.engineBreaker(t.breakers[engine.breaker] ?? engine.breaker) : "",
  ]
    .filter(Boolean)
    .join(" · ");
}

function command(text) {
  const copy = copyButton({ name: t.copyCommand(text), textOf: () => text, className: "icon-button" });
  return h("div", { class: "command" }, h("code", { tabindex: "0", text }), copy);
}

export class EnginesView {
  constructor({ changed }) {
    this.changed = changed;
    this.canChange = false; // until the server shows that it has the routes
    this.engines = [];
    const list = h("ul", { class: "engine-cards" });
    const actions = { drain: (engine) => this.drain(engine), remove: (engine) => this.remove(engine) };
    this.list = new KeyedList(list, ([engine]) => engine.label ?? engine.url, ([engine]) => new EngineCard(engine, actions));
    this.none = h("p", { class: "empty panel", text: t.noEngines, hidden: true });
    this.buildForm();
    this.buildHelp();
    this.opened = false;
    this.root = h(
      "div",
      { class: "view engines-view" },
      h("h1", { text: t.views.engines }),
      h("p", { class: "quiet lead", text: t.enginesLead }),
      this.none,
      list,
      this.help,
      this.formBox,
    );
  }

  buildForm() {
    const field = (name, props) => {
      const input = h("input", { type: "text", name, autocomplete: "off", spellcheck: "false", maxlength: 300, ...props });
      return h("label", { class: "form-field" }, h("span", { text: t.engineForm[name] }), input);
    };
    this.problem = h("p", { class: "form-problem", role: "alert", hidden: true });
    this.form = h(
      "form",
      { class: "form-grid", onsubmit: (event) => this.add(event) },
      field("url", { required: true, inputmode: "url", placeholder: "http://192.168.1.20:6878" }),
      field("label", { maxlength: 60 }),
      field("weight", { inputmode: "decimal", placeholder: "1" }),
      field("capacity", { inputmode: "numeric", placeholder: NOTHING }),
      h("button", { type: "submit", class: "button primary", text: t.engineAdd }),
      this.problem,
    );
    this.formBox = h("section", { class: "panel", hidden: true }, h("h2", { text: t.engineAddTitle }), this.form);
  }

  buildHelp() {
    this.helpTitle = h("summary");
    this.help = h(
      "details",
      { class: "help panel", hidden: true },
      this.helpTitle,
      h("p", { text: t.helpContainer }),
      command(t.helpContainerCommand),
      h("p", { text: t.helpBind }),
      command(t.helpBindCommand),
      h("p", { text: t.helpAddress }),
      command(t.helpAddressCommand),
      h("p", { text: t.helpDemo }),
      command(t.helpDemoCommand),
    );
  }

  async enter() {
    try {
      const { engines } = await get("api/aceproxy/engines");
      this.canChange = Array.isArray(engines);
    } catch {
      this.canChange = false;
    }
    show(this.formBox, this.canChange);
    this.draw();
  }

  leave() {}

  /** Take what the feed knows. */
  update({ engines }) {
    if (!engines) return;
    this.engines = engines;
    this.draw();
  }

  draw() {
    this.list.update(this.engines.map((engine) => [engine, this.canChange]));
    show(this.none, this.engines.length === 0);
    const sick = this.engines.filter(isSick).length;
    const all = sick === this.engines.length;
    show(this.help, sick > 0 || this.engines.length === 0);
    setText(this.helpTitle, all ? t.helpTitle : t.helpTitleSome);
    // Unfold it once, when nothing works; after that it is the user's to open and close.
    if (all && !this.opened) this.help.open = true;
    this.opened = all;
  }

  async drain(engine) {
    const name = labelOf(engine);
    if (!engine.draining) {
      const question = { title: t.drainTitle, subject: name, body: t.drainBody(engine.streams), confirm: t.engineDrain };
      if (!(await ask(question))) return;
    }
    const action = engine.draining ? "/undrain" : "/drain";
    const words = engine.draining ? t.undrainDone(name) : t.drainDone(name);
    if (await attempt(() => send("POST", path(engine, action)), () => words)) this.changed();
  }

  async remove(engine) {
    const name = labelOf(engine);
    const question = { title: t.removeTitle, subject: name, body: t.removeBody(engine.streams), confirm: t.engineRemove };
    if (!(await ask(question))) return;
    if (await attempt(() => remove(path(engine)), () => t.removeDone(name))) this.changed();
  }

  async add(event) {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(this.form));
    const order = { url: given.url.trim() };
    if (given.label.trim()) order.label = given.label.trim();
    if (given.weight.trim()) order.weight = Number(given.weight.replace(",", "."));
    if (given.capacity.trim()) order.capacity = Number(given.capacity);
    const wrong = [order.weight, order.capacity].some((value) => value !== undefined && !Number.isFinite(value));
    show(this.problem, wrong);
    setText(this.problem, wrong ? t.notANumber : "");
    if (wrong) return;
    const done = await attempt(() => send("POST", "api/aceproxy/engines", order), () => t.addDone(order.label ?? hostOf(order.url)));
    if (done) {
      this.form.reset();
      this.changed();
    }
  }
}
