/** The engines, and what to do where one cannot be reached. */

import { h, KeyedList, outside, setAttribute, setText, show } from "./dom.js";
import { copyButton } from "./feedback.js";
import { count, hostOf, span } from "./format.js";
import { t } from "./texts.js";

class EngineRow {
  constructor(engine) {
    this.host = outside("engine-host", hostOf(engine.url));
    this.state = h("span", { class: "chip" });
    this.version = outside("engine-version");
    this.load = h("span", { class: "engine-load" });
    this.meter = h("meter", { class: "engine-meter", min: 0, "aria-hidden": "true" });
    this.trouble = h("p", { class: "engine-trouble" });
    this.root = h(
      "li",
      { class: "engine" },
      h("p", { class: "engine-line" }, this.host, this.state),
      h("p", { class: "engine-line engine-small" }, this.version, this.load),
      this.meter,
      this.trouble,
    );
  }

  update(engine) {
    setText(this.state, t.engineStates[engine.state] ?? engine.state);
    setAttribute(this.state, "data-state", engine.state);
    setText(this.version, engine.version ? t.engineVersion(engine.version) : "");
    setText(this.load, t.engineLoad(count(engine.streams), count(engine.capacity)));
    setAttribute(this.meter, "max", Math.max(1, engine.capacity));
    setAttribute(this.meter, "value", engine.streams);
    const sick = engine.state === "down" || engine.state === "hung";
    show(this.trouble, sick);
    if (sick) setText(this.trouble, troubleOf(engine));
  }
}

function troubleOf(engine) {
  const known = engine.last_ok_age_s !== null && engine.last_ok_age_s !== undefined;
  const words = [known ? t.engineLastOk(span(engine.last_ok_age_s)) : t.engineNever];
  if (engine.last_error) words.push(engine.last_error);
  return `${words.join(": ")}.${engine.state === "hung" ? ` ${t.engineHung}` : ""}`.replace(/\.\.+/g, ".");
}

function command(text) {
  const copy = copyButton({ name: t.copyCommand(text), textOf: () => text, className: "icon-button" });
  return h("div", { class: "command" }, h("code", { tabindex: "0", text }), copy);
}

export class Engines {
  constructor(root) {
    const list = h("ul", { class: "engines" });
    this.list = new KeyedList(list, (engine) => engine.url, (engine) => new EngineRow(engine));
    this.none = h("p", { class: "quiet", text: t.noEngines, hidden: true });
    this.helpTitle = h("summary");
    this.help = h(
      "details",
      { class: "help", hidden: true },
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
    this.opened = false;
    root.append(list, this.none, this.help);
  }

  /** Take the engines of an answer of /api/health. */
  update(engines) {
    this.list.update(engines);
    show(this.none, engines.length === 0);
    const sick = engines.filter((engine) => engine.state === "down" || engine.state === "hung").length;
    const all = sick === engines.length;
    show(this.help, sick > 0 || engines.length === 0);
    setText(this.helpTitle, all ? t.helpTitle : t.helpTitleSome);
    // Unfold it once, when nothing works; after that it is the user's to open and close.
    if (all && !this.opened) this.help.open = true;
    this.opened = all;
  }
}
