/** The log: its newest lines as they come, filtered by the server, with a way back to older ones and a file of it all. */

import { get, url, withQuery } from "../api.js";
import { h, KeyedList, outside, setText, show } from "../dom.js";
import { shortId, timeOfDay } from "../format.js";
import { icon, swapIcon } from "../icons.js";
import { go } from "../router.js";
import { t } from "../texts.js";

const LINES = 200;
const MOST = 1500; // lines held in the page
const PERIOD_MS = 2000;
const TYPING_MS = 300;
const RANK = { debug: 0, info: 1, warning: 2, error: 3, critical: 4 };

function lineView(line) {
  const root = h(
    "li",
    { class: "log-line", "data-level": line.level },
    h("time", { datetime: line.time, title: line.time, text: timeOfDay(line.time) }),
    h("span", { class: "log-level", text: t.levelNames[line.level] ?? line.level }),
    outside("log-message", line.message),
  );
  if (line.stream) root.append(outside("log-stream", shortId(line.stream)));
  return { root, update() {} };
}

/** Lines of a server that numbers them have an id; of one that does not, the content and how often it came. */
function keyed(lines) {
  const seen = new Map();
  return lines.map((line) => {
    if (line.id) return [line.id, line];
    const content = [line.time, line.level, line.logger, line.stream, line.message].join("\u0000");
    const n = (seen.get(content) ?? 0) + 1;
    seen.set(content, n);
    return [`${content}\u0000${n}`, line];
  });
}

export class LogView {
  constructor() {
    this.lines = [];
    this.titles = new Map();
    this.stream = "";
    this.paused = false;
    this.shown = false;
    this.source = null;
    this.timer = 0;
    this.round = 0; // grows with every change of what is wanted; answers to older questions are dropped
    this.list = h("ol", { class: "log", tabindex: "0", "aria-label": t.views.log });
    this.rows = new KeyedList(this.list, ([key]) => key, ([, line]) => lineView(line));
    this.message = h("p", { class: "quiet log-none" });
    this.older = h("button", { type: "button", class: "button log-older", text: t.logOlder, hidden: true, onclick: () => this.loadOlder() });
    this.buildControls();
    this.root = h(
      "div",
      { class: "view log-view" },
      h("h1", { text: t.views.log }),
      this.controls,
      h("div", { class: "log-box" }, this.older, this.list, this.message),
    );
    document.addEventListener("visibilitychange", () => this.shown && this.begin());
  }

  buildControls() {
    const fresh = () => this.begin();
    this.level = h(
      "select",
      { onchange: fresh },
      ...Object.entries(t.levels).map(([level, words]) => h("option", { value: level, text: words, selected: level === "info" })),
    );
    this.text = h("input", { type: "search", placeholder: t.logFilterHint, maxlength: 200, spellcheck: "false", oninput: () => this.typed() });
    this.streamSelect = h("select", { class: "outside-text", onchange: () => go("log", this.streamSelect.value) });
    this.options = new KeyedList(this.streamSelect, ([id]) => id, ([id]) => {
      const option = h("option", { value: id });
      return { root: option, update: ([, words]) => setText(option, words) };
    });
    this.options.update([["", t.logAllStreams]]);
    this.pauseIcon = icon("pause");
    this.pauseWords = h("span", { text: t.pause });
    const pause = h("button", { type: "button", class: "button", onclick: () => this.togglePause() }, this.pauseIcon, this.pauseWords);
    this.download = h("a", { class: "button", href: url("api/logs/download"), download: "" }, icon("down"), h("span", { text: t.logDownload }));
    this.count = h("span", { class: "log-count quiet" });
    const field = (words, control) => h("label", { class: "field" }, h("span", { text: words }), control);
    this.controls = h(
      "div",
      { class: "log-controls panel" },
      field(t.level, this.level),
      field(t.logStream, this.streamSelect),
      field(t.logFilter, this.text),
      pause,
      this.download,
      this.count,
    );
  }

  enter(streamId) {
    this.shown = true;
    if (streamId && streamId !== this.stream) this.level.value = "debug"; // whoever asks for one stream wants all of it
    this.stream = streamId;
    this.fillOptions();
    this.begin();
  }

  leave() {
    this.shown = false;
    this.end();
  }

  /** Take what the feed knows: the titles of streams, for the filter. */
  update({ streams = [], recent = [] }) {
    for (const one of [...recent, ...streams]) this.titles.set(one.stream_id, one.title);
    if (this.shown) this.fillOptions();
  }

  fillOptions() {
    const ids = new Set([...this.titles.keys(), ...this.lines.map((line) => line.stream).filter(Boolean)]);
    if (this.stream) ids.add(this.stream);
    const named = [...ids].map((id) => [id, this.titles.get(id) || shortId(id)]);
    named.sort((a, b) => a[1].localeCompare(b[1], t.lang));
    this.options.update([["", t.logAllStreams], ...named]);
    if (this.streamSelect.value !== this.stream) this.streamSelect.value = this.stream;
  }

  typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.begin(), TYPING_MS);
  }

  togglePause() {
    this.paused = !this.paused;
    swapIcon(this.pauseIcon, this.paused ? "resume" : "pause");
    setText(this.pauseWords, this.paused ? t.resume : t.pause);
    if (this.paused) this.end();
    else this.begin();
  }

  query() {
    const query = [["level", this.level.value]];
    if (this.stream) query.push(["stream", this.stream]);
    const words = this.text.value.trim();
    if (words) query.push(["search", words]);
    return query;
  }

  end() {
    this.round += 1;
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  /** Ask for the newest lines, then listen for what follows. */
  async begin() {
    this.end();
    if (!this.shown || this.paused || document.hidden) return;
    const round = this.round;
    let tail;
    try {
      tail = await get(withQuery("api/logs/tail", [["lines", LINES], ...this.query()]));
    } catch (error) {
      if (round !== this.round) return;
      this.say(t.logFailed(error.message));
      this.timer = setTimeout(() => this.begin(), PERIOD_MS * 2);
      return;
    }
    if (round !== this.round) return;
    this.lines = tail.lines ?? [];
    this.oldest = tail.oldest ?? null;
    this.fillOptions();
    this.draw({ toEnd: true });
    if (tail.newest) this.listen(tail.newest);
    else this.timer = setTimeout(() => this.begin(), PERIOD_MS); // a server that cannot go on from a place
  }

  listen(after) {
    const source = new EventSource(withQuery("api/logs/stream", [["after", after], ...this.query()]));
    this.source = source;
    source.addEventListener("line", (event) => {
      if (source !== this.source) return;
      let line;
      try {
        line = JSON.parse(event.data);
      } catch {
        return;
      }
      this.lines.push({ id: Number(event.lastEventId) || 0, ...line });
      this.lines = this.lines.slice(-MOST);
      this.soon();
    });
    source.addEventListener("error", () => {
      if (source !== this.source || source.readyState !== EventSource.CLOSED) return;
      this.source = null;
      this.timer = setTimeout(() => this.begin(), PERIOD_MS * 2);
    });
  }

  /** Many lines at once are drawn once. */
  soon() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = undefined;
      this.draw();
    });
  }

  async loadOlder() {
    const round = this.round;
    try {
      const tail = await get(withQuery("api/logs/tail", [["lines", LINES], ["before", this.oldest], ...this.query()]));
      if (round !== this.round) return;
      const height = this.list.scrollHeight;
      this.lines = [...(tail.lines ?? []), ...this.lines].slice(0, MOST);
      this.oldest = tail.lines?.length ? (tail.oldest ?? null) : null;
      this.draw();
      this.list.scrollTop += this.list.scrollHeight - height;
    } catch (error) {
      this.say(t.logFailed(error.message));
    }
  }

  draw({ toEnd = false } = {}) {
    const least = RANK[this.level.value];
    const words = this.text.value.trim().toLowerCase();
    const fits = (line) =>
      (RANK[line.level] ?? RANK.info) >= least &&
      (this.stream === "" || line.stream === null || this.stream.startsWith(line.stream) || line.stream === this.stream) &&
      (words === "" || `${line.message} ${line.logger}`.toLowerCase().includes(words));
    const shown = this.lines.filter((line) => fits(line) && (this.stream === "" || line.stream));
    const atEnd = toEnd || this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 40;
    this.rows.update(keyed(shown));
    if (atEnd) this.list.scrollTop = this.list.scrollHeight;
    setText(this.count, t.logCount(shown.length));
    show(this.older, Boolean(this.oldest) && shown.length > 0 && this.lines.length < MOST);
    this.say(shown.length ? "" : words || this.stream || least ? t.logNoMatch : t.logEmpty);
  }

  say(words) {
    setText(this.message, words);
    show(this.message, words !== "");
    show(this.list, words === "");
  }
}
