/** The play box: any link in, the address for a player out. Nothing is sent anywhere. */

import { playUrl, watchUrl, withQuery } from "./api.js";
import { h, setAttribute, setText, show } from "./dom.js";
import { copyButton } from "./feedback.js";
import { icon } from "./icons.js";
import { linkInput } from "./link_input.js";
import { keyOfLink, readLink } from "./links.js";
import { t } from "./texts.js";

const HINT_DELAY_MS = 400; // nobody wants to be told off in the middle of typing

export class PlayBox {
  /** `streamOf(key)` finds a running stream by its key, or undefined. */
  constructor(root, streamOf) {
    this.streamOf = streamOf;
    this.kind = "content_id"; // what 40 bare characters are taken for
    this.link = null;
    this.hintTimer = 0;
    this.input = linkInput({ "aria-describedby": "play-hint", oninput: () => this.read() });
    this.hint = h("p", { id: "play-hint", class: "play-hint", role: "status" });
    this.address = h("output", { class: "play-address", tabindex: "0", "aria-label": t.streamAddress, for: "link" });
    this.copy = copyButton({ label: t.copyAddress, textOf: () => this.address.textContent, className: "button primary" });
    this.choice = this.buildChoice();
    this.watch = h("a", { class: "button" }, icon("resume"), h("span", { text: t.watchHere }));
    this.file = h("a", { class: "button", download: "" }, icon("open"), h("span", { text: t.watch.openFile }));
    this.running = h("p", { class: "play-running" });
    this.result = h(
      "div",
      { class: "play-result", hidden: true },
      h("p", { class: "play-lead", text: t.linkOpen }),
      h("div", { class: "play-row" }, this.address, this.copy),
      h("div", { class: "play-more" }, this.watch, this.file, this.choice, this.running),
    );
    root.append(this.input, this.hint, this.result);
  }

  buildChoice() {
    const option = (kind) =>
      h(
        "label",
        {},
        h("input", {
          type: "radio",
          name: "link-kind",
          value: kind,
          checked: kind === this.kind,
          onchange: () => this.choose(kind),
        }),
        h("span", { text: t.linkIs[kind] }),
      );
    return h(
      "fieldset",
      { class: "segments" },
      h("legend", { text: t.linkAsk }),
      option("content_id"),
      option("infohash"),
    );
  }

  choose(kind) {
    this.kind = kind;
    this.read();
  }

  read() {
    const link = readLink(this.input.value);
    this.link = link?.query ? this.resolved(link) : null;
    clearTimeout(this.hintTimer);
    if (link?.problem) this.hintTimer = setTimeout(() => this.complain(link), HINT_DELAY_MS);
    else this.complain(null);
    show(this.result, this.link !== null);
    if (this.link === null) return;
    setText(this.address, playUrl(this.link.query));
    setAttribute(this.watch, "href", watchUrl(this.link.query));
    setAttribute(this.file, "href", withQuery("watch/play.m3u", this.link.query));
    show(this.choice, link.ambiguous);
    this.update();
  }

  complain(link) {
    setText(this.hint, link ? t.hints[link.problem](link.length) : "");
    setAttribute(this.input, "aria-invalid", link ? "true" : null);
  }

  resolved(link) {
    if (!link.ambiguous || this.kind === "content_id") return link;
    return { ...link, kind: "infohash", query: [["infohash", link.query[0][1]]] };
  }

  /** The streams have changed: say whether this one is playing. */
  update() {
    if (this.link === null) return;
    const key = keyOfLink(this.link);
    const stream = key === null ? undefined : this.streamOf(key);
    const words = stream ? t.linkRunning(stream.client_count) : this.link.kind === "url" ? t.linkUrlNote : "";
    setText(this.running, words);
    show(this.running, words !== "");
  }
}
