/** Streams that ended lately: what, when, why, and whose fault it was. */

import { playUrl } from "./api.js";
import { h, KeyedList, outside, setAttribute, setText, show } from "./dom.js";
import { copyButton } from "./feedback.js";
import { icon } from "./icons.js";
import { span, shortId, since, timeOfDay } from "./format.js";
import { queryOfKey } from "./links.js";
import { routeTo } from "./router.js";
import { serverWords } from "./server_words.js";
import { reasonWords, t } from "./texts.js";

const SHOWN = 6;

class EndedRow {
  constructor(ended) {
    const name = ended.title || t.untitled(shortId(ended.stream_id));
    const query = queryOfKey(ended.key);
    this.when = h("time", { datetime: ended.ended_at, title: timeOfDay(ended.ended_at) });
    const log = h(
      "a",
      { class: "icon-button", href: routeTo("log", ended.stream_id), "aria-label": t.ofStream(t.showLog, name), title: t.showLog },
      icon("lines"),
    );
    this.root = h(
      "li",
      { class: "ended" },
      h("p", { class: "ended-name" }, h("a", { href: routeTo("stream", ended.stream_id) }, outside("", name))),
      h(
        "p",
        { class: "ended-why" },
        h("span", { class: "fault", "data-fault": ended.fault, title: t.whose, text: t.faults[ended.fault] ?? ended.fault }),
        h("span", { class: "ended-reason", title: ended.reason, text: reasonWords(ended.reason) }),
      ),
      h("p", { class: "ended-message" }, outside("", serverWords(ended))),
      h(
        "p",
        { class: "ended-foot" },
        h("span", {}, this.when, ` · ${t.lasted(span(ended.lasted_s))}`),
        h(
          "span",
          { class: "ended-buttons" },
          query && copyButton({ name: t.ofStream(t.copyLink, name), textOf: () => playUrl(query), className: "icon-button" }),
          log,
        ),
      ),
    );
  }

  update(ended) {
    setText(this.when, t.ago(span(since(ended.ended_at))));
    setAttribute(this.when, "datetime", ended.ended_at);
  }
}

export class EndedStreams {
  constructor(root) {
    const list = h("ul", { class: "ended-list" });
    this.list = new KeyedList(list, (ended) => `${ended.stream_id} ${ended.ended_at}`, (ended) => new EndedRow(ended));
    this.empty = h("p", { class: "quiet", text: t.endedEmpty });
    root.append(list, this.empty);
  }

  /** Take the `recent` part of an answer of /api/aceproxy/streams, newest first. */
  update(recent) {
    this.list.update(recent.slice(0, SHOWN));
    show(this.empty, recent.length === 0);
  }
}
