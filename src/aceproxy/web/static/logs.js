/** The newest lines of the log, with filters. Polled by itself, and only while it can be seen. */

import { get } from "./api.js";
import { h, KeyedList, outside, setAttribute, setText, show } from "./dom.js";
import { shortId, timeOfDay } from "./format.js";
import { icon, swapIcon } from "./icons.js";
import { Poller } from "./poller.js";
import { t } from "./texts.js";

const LINES = 200;
const PERIOD_MS = 2000;
const RANK = { debug: 0, info: 1, warning: 2, error: 3, critical: 4 };

function lineView(line) {
  const root = h(
    "li",
    { class: "log-line", "data-level": line.level },
    h("time", { datetime: line.time, title: line.time, text: timeOfDay(line.time) }),
    h("span", { class: "log-level", text: line.level }),
    outside("log-message", line.message),
  );
  if (line.stream) root.append(outside("log-stream", shortId(line.stream)));
  return { root, update() {} };
}

/** Lines have no id: give each one its content as a key, and equal ones a number. */
function keyed(lines) {
  const seen = new Map();
  return lines.map((line) => {
    const content = [line.time, line.level, line.logger, line.stream, line.message].join("\u0000");
    const n = (seen.get(content) ?? 0) + 1;
    seen.set(content, n);
    return [`${content}\u0000${n}`, line];
  });
}

export class Logs {
  constructor(root) {
    this.lines = [];
    this.titles = new Map();
    this.stream = "";
    this.paused = false;
    this.visible = false;
    this.list = h("ol", { class: "log", tabindex: "0", "aria-labelledby": "logs-title" });
    this.rows = new KeyedList(this.list, ([key]) => key, ([, line]) => lineView(line));
    this.message = h("p", { class: "quiet log-none" });
    this.buildControls();
    root.append(this.controls, h("div", { class: "log-box" }, this.list, this.message));
    this.root = root;
    this.poller = new Poller({
      periodMs: PERIOD_MS,
      poll: () => this.poll(),
      wanted: () => this.visible && !this.paused,
    });
  }

  buildControls() {
    const draw = () => this.draw();
    this.level = h(
      "select",
      { onchange: draw },
      ...Object.entries(t.levels).map(([level, words]) => h("option", { value: level, text: words, selected: level === "debug" })),
    );
    this.text = h("input", { type: "search", placeholder: t.logFilterHint, maxlength: 200, spellcheck: "false", oninput: draw });
    this.streamSelect = h("select", { onchange: () => this.choose(this.streamSelect.value) });
    this.options = new KeyedList(this.streamSelect, ([id]) => id, ([id]) => {
      const option = h("option", { value: id });
      return { root: option, update: ([, words]) => setText(option, words) };
    });
    this.options.update([["", t.logAllStreams]]);
    this.pauseIcon = icon("pause");
    this.pauseWords = h("span", { text: t.pause });
    this.pause = h("button", { type: "button", class: "button", onclick: () => this.togglePause() }, this.pauseIcon, this.pauseWords);
    this.count = h("span", { class: "log-count quiet" });
    const field = (words, control) => h("label", { class: "field" }, h("span", { text: words }), control);
    this.controls = h(
      "div",
      { class: "log-controls" },
      field(t.level, this.level),
      field(t.logStream, this.streamSelect),
      field(t.logFilter, this.text),
      this.pause,
      this.count,
    );
  }

  /** Begin polling whenever the log is in view. */
  start() {
    new IntersectionObserver((entries) => {
      this.visible = entries[entries.length - 1].isIntersecting;
      if (this.visible) this.poller.wake();
    }).observe(this.root);
    this.poller.start();
  }

  /** Tell the titles of streams, for the stream filter: pairs of stream id and title. */
  nameStreams(pairs) {
    this.titles = new Map(pairs);
    this.fillOptions();
  }

  /** Narrow the log down to a stream, go there, and show everything it has about it. */
  showStream(streamId) {
    this.level.value = "debug";
    this.text.value = "";
    this.choose(streamId);
    document.getElementById("logs-title").focus();
    this.root.scrollIntoView({ block: "start" });
  }

  choose(streamId) {
    this.stream = streamId;
    this.fillOptions();
    this.streamSelect.value = streamId;
    this.draw();
  }

  fillOptions() {
    const ids = new Set([...this.titles.keys(), ...this.lines.map((line) => line.stream).filter(Boolean)]);
    if (this.stream) ids.add(this.stream);
    const named = [...ids].map((id) => [id, this.titles.get(id) || shortId(id)]);
    named.sort((a, b) => a[1].localeCompare(b[1], t.lang));
    this.options.update([["", t.logAllStreams], ...named]);
  }

  togglePause() {
    this.paused = !this.paused;
    swapIcon(this.pauseIcon, this.paused ? "resume" : "pause");
    setText(this.pauseWords, this.paused ? t.resume : t.pause);
    if (!this.paused) this.poller.wake();
  }

  async poll() {
    let tail;
    try {
      tail = await get(`api/logs/tail?lines=${LINES}`);
    } catch (error) {
      if (this.lines.length === 0) this.say(t.logFailed(error.message));
      throw error;
    }
    if (this.paused) return; // paused while the answer was on its way
    this.lines = (tail.lines ?? []).slice(-LINES);
    this.fillOptions();
    this.draw();
  }

  draw() {
    const least = RANK[this.level.value];
    const words = this.text.value.trim().toLowerCase();
    const fits = (line) =>
      (RANK[line.level] ?? RANK.info) >= least &&
      (this.stream === "" || line.stream === this.stream) &&
      (words === "" || `${line.message} ${line.logger}`.toLowerCase().includes(words));
    const shown = this.lines.filter(fits);
    const atEnd = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 40;
    this.rows.update(keyed(shown));
    if (atEnd) this.list.scrollTop = this.list.scrollHeight;
    setText(this.count, t.logCount(shown.length, this.lines.length));
    this.say(shown.length ? "" : this.lines.length ? t.logNoMatch : t.logEmpty);
  }

  say(words) {
    setText(this.message, words);
    show(this.message, words !== "");
    show(this.list, words === "");
    setAttribute(this.list, "aria-busy", null);
  }
}
