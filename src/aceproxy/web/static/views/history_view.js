/** Streams of the past: what, who watched, how long, how well, and why it ended. */

import { agentLabel } from "../agents.js";
import { get, remove, watchUrl } from "../api.js";
import { attempt } from "../actions.js";
import { h, KeyedList, outside, setText, show } from "../dom.js";
import { ask } from "../feedback.js";
import { count, dateTime, seconds, shortId, size, span } from "../format.js";
import { icon } from "../icons.js";
import { nameOf, queryOf } from "../names.js";
import { routeTo } from "../router.js";
import { detailWords, serverWords } from "../server_words.js";
import { pastTabs } from "../tabs.js";
import { reasonWords, t } from "../texts.js";

const PAGE = 30;

function viewerWords(viewer) {
  const visits = viewer.visits > 1 ? t.visits(count(viewer.visits)) : "";
  return [viewer.address, span(viewer.watched_s), size(viewer.sent_bytes), visits].filter(Boolean).join(" · ");
}

class PastRow {
  constructor(past, forget) {
    const name = nameOf(past);
    const query = queryOf(past);
    this.state = h("span", { class: "fault" });
    this.reason = h("span", { class: "ended-reason" });
    this.message = outside("ended-message");
    this.line = h("p", { class: "past-line" });
    this.quality = h("p", { class: "past-quality" });
    this.viewers = h("ul", { class: "past-viewers" });
    this.summary = h("summary", {});
    this.people = h("details", { class: "past-people" }, this.summary, this.viewers);
    const drop = h(
      "button",
      { type: "button", class: "icon-button kick", title: t.forget, "aria-label": t.ofStream(t.forget, name), onclick: () => forget(past, name) },
      icon("cross"),
    );
    this.root = h(
      "li",
      { class: "panel past" },
      h(
        "div",
        { class: "past-head" },
        h("h2", { class: "card-name" }, h("a", { href: routeTo("stream", past.stream_id) }, outside("", name))),
        h("time", { class: "quiet", datetime: past.began_at, text: dateTime(past.began_at) }),
      ),
      h("p", { class: "ended-why" }, this.state, this.reason),
      h("p", {}, this.message),
      this.line,
      this.quality,
      this.people,
      h(
        "div",
        { class: "past-buttons" },
        query && h("a", { class: "button", href: watchUrl(query), "aria-label": t.ofStream(t.watchHere, name) }, icon("resume"), h("span", { text: t.watchAgain })),
        h("a", { class: "button", href: routeTo("log", past.stream_id), "aria-label": t.ofStream(t.showLog, name) }, icon("lines"), h("span", { text: t.showLog })),
        past.id !== undefined && drop,
      ),
    );
  }

  update(past) {
    const fault = past.fault ?? "none";
    this.state.dataset.fault = fault;
    const running = past.is_over === false;
    setText(this.state, running ? t.stillRunning : (t.faults[fault] ?? fault));
    setText(this.reason, running ? "" : reasonWords(past.reason));
    setText(this.message, past.message ? serverWords(past) : "");
    const began = Number.isFinite(past.start_s) ? t.pastStart(seconds(past.start_s)) : "";
    const peak = past.peak_clients ? t.pastPeak(count(past.peak_clients)) : "";
    setText(this.line, [t.lasted(span(past.lasted_s)), size(past.outbound_bytes), peak, began].filter(Boolean).join(" · "));
    const quality = [
      past.stalls ? t.pastStalls(count(past.stalls), span(past.stalled_s)) : "",
      past.recoveries ? t.recoveries(count(past.recoveries)) : "",
      past.skips ? t.pastSkips(count(past.skips)) : "",
    ].filter(Boolean);
    const known = past.stalls !== undefined;
    setText(this.quality, quality.join(" · ") || (known && past.peak_clients ? t.pastClean : ""));
    show(this.quality, this.quality.textContent !== "");
    this.quality.classList.toggle("some", quality.length > 0);
    const viewers = past.viewers ?? [];
    show(this.people, viewers.length > 0);
    setText(this.summary, t.pastViewers(count(viewers.length)));
    if (viewers.length !== this.viewers.children.length) {
      const lines = viewers.map((one) => h("li", {}, agentLabel(one.agent), " ", outside("quiet", viewerWords(one))));
      this.viewers.replaceChildren(...lines);
    }
  }
}

export class HistoryView {
  constructor() {
    this.rows = [];
    this.next = null;
    this.recent = null;
    this.kept = false; // whether the server keeps a history
    const list = h("ul", { class: "past-list" });
    this.list = new KeyedList(list, (past) => past.id ?? `${past.stream_id} ${past.ended_at}`, (past) => new PastRow(past, (...what) => this.forget(...what)));
    this.empty = h("div", { class: "empty panel", hidden: true }, h("h2", { text: t.historyEmpty }), h("p", { text: t.historyEmptyBody }));
    this.place = h("p", { class: "quiet lead" });
    this.loading = h("p", { class: "loading", text: t.page.loading });
    this.problem = h("p", { class: "form-problem", role: "alert", hidden: true });
    this.more = h("button", { type: "button", class: "button", text: t.historyMore, hidden: true, onclick: () => this.load(this.next) });
    this.root = h("div", { class: "view history-view" }, h("h1", { text: t.views.history }), pastTabs("history"), this.place, this.loading, this.problem, this.empty, list, this.more);
  }

  enter() {
    this.load(null);
  }

  leave() {}

  /** Take what the feed knows: where the server keeps no history, what ended lately is all there is. */
  update({ recent }) {
    if (recent) this.recent = recent;
    if (!this.kept && recent) this.draw(recent.map((one) => ({ ...one, began_at: one.ended_at })));
  }

  async load(before) {
    show(this.problem, false);
    try {
      const answer = await get(`api/aceproxy/history?limit=${PAGE}${before === null ? "" : `&before=${before}`}`);
      this.kept = true;
      this.next = answer.next_before ?? null;
      this.rows = before === null ? answer.streams : [...this.rows, ...answer.streams];
      setText(this.place, placeWords(answer.store));
      this.draw(this.rows);
    } catch (error) {
      this.kept = false;
      show(this.loading, false);
      if (error.status === 404) setText(this.place, t.historyMemory);
      else {
        setText(this.problem, t.failed(error.message));
        show(this.problem, true);
      }
      if (this.recent) this.update({ recent: this.recent });
    }
  }

  draw(rows) {
    show(this.loading, false);
    this.list.update(rows);
    show(this.empty, rows.length === 0);
    show(this.more, this.next !== null);
  }

  async forget(past, name) {
    const question = { title: t.forgetTitle, subject: name, body: t.forgetBody, confirm: t.forget };
    if (!(await ask(question))) return;
    const done = await attempt(() => remove(`api/aceproxy/history/${past.id}`), () => t.forgetDone(name));
    if (done === null) return;
    this.rows = this.rows.filter((one) => one.id !== past.id);
    this.draw(this.rows);
  }
}

function placeWords(store) {
  if (store?.problem) return t.historyProblem(detailWords(store.problem));
  return store?.place === "disk" ? t.historyKept : t.historyMemory;
}
