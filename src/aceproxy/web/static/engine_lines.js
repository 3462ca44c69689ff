/** The engines in a few lines each, for the first page. */

import { h, KeyedList, outside, setAttribute, setText, show } from "./dom.js";
import { count, hostOf, span } from "./format.js";
import { routeTo } from "./router.js";
import { detailWords } from "./server_words.js";
import { t } from "./texts.js";

/** How an engine is, in one word of the catalogue: its own state, unless it is being emptied. */
export const stateOf = (engine) => (engine.draining ? "draining" : engine.state);

/** The name of an engine. */
export const labelOf = (engine) => engine.label || hostOf(engine.url);

/** Whether an engine does not work. */
export const isSick = (engine) => engine.state === "down" || engine.state === "hung";

/** What is wrong with an engine, in words. */
export function troubleOf(engine) {
  const known = engine.last_ok_age_s !== null && engine.last_ok_age_s !== undefined;
  const words = [known ? t.engineLastOk(span(engine.last_ok_age_s)) : t.engineNever];
  if (engine.last_error) words.push(t.reasons[engine.last_error] ?? detailWords(engine.last_error));
  return `${words.join(": ")}.${engine.state === "hung" ? ` ${t.engineHung}` : ""}`.replace(/\.\.+/g, ".");
}

/** Keep state, version and load of an engine in elements: what the short and the long form share. */
export class EngineFigures {
  constructor() {
    this.state = h("span", { class: "chip" });
    this.version = outside("engine-version");
    this.load = h("span", { class: "engine-load" });
    this.meter = h("meter", { class: "meter engine-meter", min: 0, "aria-hidden": "true" });
    this.trouble = h("p", { class: "engine-trouble" });
  }

  update(engine) {
    const state = stateOf(engine);
    setText(this.state, t.engineStates[state] ?? state);
    setAttribute(this.state, "data-state", state);
    setText(this.version, engine.version ? t.engineVersion(engine.version) : "");
    setText(this.load, t.engineLoad(count(engine.streams), count(engine.capacity)));
    setAttribute(this.meter, "max", Math.max(1, engine.capacity));
    setAttribute(this.meter, "value", engine.streams);
    show(this.trouble, isSick(engine));
    if (isSick(engine)) setText(this.trouble, troubleOf(engine));
  }
}

class EngineLine {
  constructor(engine) {
    this.figures = new EngineFigures();
    const { state, version, load, meter, trouble } = this.figures;
    this.root = h(
      "li",
      { class: "engine" },
      h("p", { class: "engine-line" }, outside("engine-host", labelOf(engine)), state),
      h("p", { class: "engine-line engine-small" }, version, load),
      meter,
      trouble,
    );
  }

  update(engine) {
    this.figures.update(engine);
  }
}

export class EngineLines {
  constructor(root) {
    const list = h("ul", { class: "engines" });
    this.list = new KeyedList(list, (engine) => engine.label ?? engine.url, (engine) => new EngineLine(engine));
    this.none = h("p", { class: "quiet", text: t.noEngines, hidden: true });
    this.help = h("a", { class: "button help-link", href: routeTo("engines"), text: t.helpTitle, hidden: true });
    root.append(list, this.none, this.help);
  }

  update(engines) {
    this.list.update(engines);
    show(this.none, engines.length === 0);
    show(this.help, engines.length === 0 || engines.some(isSick));
  }
}
