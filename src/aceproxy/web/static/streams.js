/** The list of streams with its actions, and what is shown while there is none. */

import { clientPath, playUrl, remove, streamPath } from "./api.js";
import { h, KeyedList, rescueFocus, setAttribute, show } from "./dom.js";
import { ask, note } from "./feedback.js";
import { count } from "./format.js";
import { nameOf, StreamCard } from "./stream_card.js";
import { t } from "./texts.js";

const OPEN_BELOW = 3; // so few streams have their clients unfolded from the start
const EXAMPLE = [["id", "0123456789abcdef0123456789abcdef01234567"]];

export class Streams {
  /** `changed()` is called after something was ended; `showLog(streamId)` narrows the log down to a stream. */
  constructor({ changed, showLog }) {
    this.changed = changed;
    this.known = new Map();
    this.cards = document.getElementById("cards");
    const actions = { stop: (stream) => this.stop(stream), kick: (...what) => this.kick(...what), showLog };
    this.list = new KeyedList(
      this.cards,
      (stream) => stream.stream_id,
      (stream) => this.unfolded(new StreamCard(stream, actions)),
    );
    this.engineless = h("p", { class: "verdict", hidden: true }, `${t.emptyNoEngine} `);
    this.engineless.append(h("a", { href: "#engines-title", text: t.page.engines }), ".");
    this.empty = h(
      "div",
      { class: "empty", hidden: true },
      h("h3", { text: t.emptyTitle }),
      this.engineless,
      h("p", { text: t.emptyBody }),
      h("ol", {}, ...t.emptySteps.map((step) => h("li", { text: step }))),
      h("p", { class: "quiet", text: t.emptyExample }),
      h("code", { class: "empty-example", tabindex: "0", text: playUrl(EXAMPLE) }),
    );
    document.getElementById("empty").append(this.empty);
  }

  unfolded(card) {
    const roomy = matchMedia("(min-width: 46rem)").matches;
    if (roomy && this.list.views.size < OPEN_BELOW) card.clientsBox.root.open = true;
    return card;
  }

  /** Take the `streams` part of an answer of /api/aceproxy/streams. */
  update(streams) {
    const hadFocus = this.cards.contains(document.activeElement);
    this.known = new Map();
    for (const stream of streams) {
      for (const key of [...stream.aliases, stream.key]) this.known.set(key, stream);
      if (stream.infohash) this.known.set(`infohash:${stream.infohash}`, stream);
    }
    show(document.getElementById("loading"), false);
    this.list.update(streams);
    show(this.empty, streams.length === 0);
    if (hadFocus) rescueFocus(document.getElementById("streams-title"));
  }

  /** Take the `status` of an answer of /api/health: without any engine there is no point in trying. */
  showHealth(status) {
    show(this.engineless, status === "unhealthy");
  }

  /** The running stream that a key belongs to, or undefined. */
  find(key) {
    return this.known.get(key);
  }

  async stop(stream) {
    const name = nameOf(stream);
    const body = t.stopBody(stream.client_count);
    if (!(await ask({ title: t.stopTitle, subject: name, body, confirm: t.stopConfirm }))) return;
    await this.end(streamPath(stream.stream_id), (done) => t.stopDone(name, done.clients_ended && count(done.clients_ended)));
  }

  async kick(stream, clientId, name) {
    const question = { title: t.kickTitle, subject: name, body: t.kickBody, confirm: t.kickConfirm };
    if (!(await ask(question))) return;
    await this.end(clientPath(stream.stream_id, clientId), () => t.kickDone(name));
  }

  async end(path, words) {
    setAttribute(this.cards, "aria-busy", "true");
    try {
      note(words(await remove(path)));
    } catch (error) {
      note(t.failed(error.message), { bad: true });
    }
    setAttribute(this.cards, "aria-busy", null);
    this.changed();
  }
}
