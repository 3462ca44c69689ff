/** One stream in the list: its picture, its state, how it goes, and the way to its page. */

import { watchUrl } from "./api.js";
import { FewClients } from "./few_clients.js";
import { h, outside, setAttribute, setText, show } from "./dom.js";
import { hiddenAddress } from "./engine_names.js";
import { span } from "./format.js";
import { icon } from "./icons.js";
import { factsOf, nameOf, queryOf } from "./names.js";
import { routeTo } from "./router.js";
import { Still } from "./still.js";
import { t } from "./texts.js";
import { Way } from "./way.js";

export class StreamCard {
  /** `actions`: `stop(stream)`, `outboundOf(streamId)`. */
  constructor(stream, actions) {
    this.stream = stream;
    this.actions = actions;
    const id = `stream-${stream.stream_id}`;
    const page = routeTo("stream", stream.stream_id);
    this.still = new Still();
    this.chip = h("span", { class: "chip" });
    this.name = outside();
    this.facts = h("p", { class: "card-facts" });
    this.way = new Way();
    this.clients = new FewClients(page);
    this.watch = h("a", { class: "button" }, icon("resume"), h("span", { text: t.watchHere }));
    this.stop = h(
      "button",
      { type: "button", class: "button stop", onclick: () => actions.stop(this.stream) },
      icon("stop"),
      h("span", { text: t.stop }),
    );
    this.details = h("a", { class: "button details-button", href: page }, icon("lines"), h("span", { text: t.details }));
    this.root = h(
      "article",
      { class: "card", "aria-labelledby": id },
      h("a", { class: "card-still", href: page, tabindex: "-1", "aria-hidden": "true" }, this.still.root),
      h(
        "header",
        { class: "card-head" },
        h(
          "div",
          { class: "card-title" },
          h("h3", { class: "card-name", id, tabindex: "-1" }, h("a", { href: page }, this.name)),
          this.chip,
        ),
        this.facts,
        h("div", { class: "card-buttons" }, this.watch, this.details, this.stop),
      ),
      this.way.root,
      this.clients.root,
    );
  }

  update(stream) {
    this.stream = stream;
    const name = nameOf(stream);
    setText(this.name, name);
    setText(this.chip, t.states[stream.state] ?? stream.state);
    setAttribute(this.chip, "data-state", stream.state);
    setAttribute(this.chip, "title", t.inState(t.states[stream.state] ?? stream.state, span(stream.state_s)));
    setAttribute(this.root, "data-state", stream.state);
    const query = queryOf(stream);
    show(this.watch, query !== null);
    if (query) setAttribute(this.watch, "href", watchUrl(query));
    setAttribute(this.watch, "aria-label", t.ofStream(t.watchHere, name));
    setAttribute(this.details, "aria-label", t.ofStream(t.details, name));
    setAttribute(this.stop, "aria-label", t.ofStream(t.stop, name));
    setText(this.facts, factsOf(stream));
    setAttribute(this.facts, "title", hiddenAddress(stream.engine));
    this.still.update(stream, name);
    this.way.update(stream, this.actions.outboundOf(stream.stream_id));
    this.clients.update(stream);
  }
}
