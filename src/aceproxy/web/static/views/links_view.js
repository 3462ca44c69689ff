/** How well links have played: how they start, whether they keep up, how often they stall, on each engine; by viewing. */

import { get, playUrl, watchUrl } from "../api.js";
import { h, KeyedList, outside, setAttribute, setText, show } from "../dom.js";
import { engineName, hiddenAddress } from "../engine_names.js";
import { copyButton } from "../feedback.js";
import { count, NOTHING, seconds, shortId, since, span, timeOfDay } from "../format.js";
import { icon } from "../icons.js";
import { queryOfKey } from "../links.js";
import { pastTabs } from "../tabs.js";
import { reasonWords, t } from "../texts.js";

const AGAIN_MS = 15000;
const MOST = 500; // as many as the server tells at once
const PAGE = 40;
const GOOD = 0.5; // scores from which on a link counts as good, and as fair
const FAIR = 0.3;
const FAINT = 0.5; // starts, faded; of less nothing can be said any more
const WHOLE = 0.97; // of the bitrate: nothing is missing

const FIGURES = {
  start: (one) => (Number.isFinite(one.start_s) ? seconds(one.start_s) : NOTHING),
  speed: (one) => (Number.isFinite(one.speed_ratio) ? t.linkSpeed(count(one.speed_ratio * 100)) : NOTHING),
  stalls: (one) => stallWords(one),
  starts: (one) => (one.failures >= 0.5 ? t.linkFailed(count(one.failures), count(one.starts + one.failures)) : count(one.starts)),
  peers: (one) => (Number.isFinite(one.peers) ? count(one.peers) : NOTHING),
  watched: (one) => span(one.watched_s),
};

function stallWords({ stalls, stalled_s: stalledS, losses, watched_s: watchedS }) {
  if (!watchedS) return NOTHING;
  const words = [
    stalledS >= 0.5 ? t.linkStalls(count(Math.max(1, stalls)), span(stalledS)) : "",
    losses >= 0.5 ? t.linkLosses(count(losses)) : "",
  ];
  return words.filter(Boolean).join(", ") || t.linkNoStall;
}

/** Which figures are no good news. */
const isBad = {
  start: () => false,
  speed: (one) => Number.isFinite(one.speed_ratio) && one.speed_ratio < WHOLE,
  stalls: (one) => one.stalled_s >= 0.5 || one.losses >= 0.5,
  starts: (one) => one.failures >= 0.5,
  peers: (one) => one.peers === 0,
  watched: () => false,
};

/** How a link is, in a word of the catalogue: good, fair, poor, never (it has only failed), faint (too long ago). */
export function gradeOf({ score, starts, failures }) {
  if (starts + failures < FAINT) return "faint";
  if (starts < FAINT) return "never";
  return score >= GOOD ? "good" : score >= FAIR ? "fair" : "poor";
}

const nameOf = (link) => link.title || t.untitled(shortId(link.key.replace(/^\w+:/, "")));

class EngineRow {
  constructor() {
    this.host = outside("link-engine-name");
    this.chip = h("span", { class: "chip" });
    this.values = {};
    const figures = Object.keys(FIGURES).map((name) => {
      this.values[name] = h("dd", {});
      return h("div", { class: "link-figure" }, h("dt", { text: t.linkFigures[name] }), this.values[name]);
    });
    this.seen = h("time", { class: "quiet" });
    this.reason = h("span", { class: "link-reason" });
    this.root = h(
      "li",
      { class: "link-engine" },
      h("p", { class: "link-engine-head" }, this.host, this.chip, this.seen, this.reason),
      h("dl", { class: "link-figures" }, ...figures),
    );
  }

  update(one) {
    const grade = gradeOf(one);
    setText(this.host, engineName(one.engine));
    setAttribute(this.host, "title", hiddenAddress(one.engine));
    setText(this.chip, t.linkGrades[grade]);
    setAttribute(this.chip, "data-grade", grade);
    for (const [name, value] of Object.entries(this.values)) {
      setText(value, FIGURES[name](one));
      setAttribute(value, "class", isBad[name](one) ? "some" : null);
    }
    setText(this.seen, t.linkSeen(t.ago(span(since(one.seen_at)))));
    setAttribute(this.seen, "datetime", one.seen_at);
    setAttribute(this.seen, "title", timeOfDay(one.seen_at));
    setText(this.reason, one.last_reason ? t.linkLast(reasonWords(one.last_reason)) : "");
  }
}

class LinkCard {
  constructor(link) {
    const query = queryOfKey(link.key);
    this.name = outside();
    this.chip = h("span", { class: "chip" });
    this.meter = h("meter", { class: "meter link-score", min: 0, max: 1, "aria-hidden": "true" });
    const engines = h("ul", { class: "link-engines" });
    this.engines = new KeyedList(engines, (one) => one.engine, () => new EngineRow());
    this.watch = query && h("a", { class: "button", href: watchUrl(query) }, icon("resume"), h("span", { text: t.watchHere }));
    this.copy = query && copyButton({ label: t.copyLink, textOf: () => playUrl(query) });
    this.root = h(
      "li",
      { class: "panel link-card" },
      h("div", { class: "link-head" }, h("h2", { class: "card-name" }, this.name), this.chip, this.meter),
      h("p", {}, outside("quiet small link-key", link.key)),
      h("div", { class: "past-buttons" }, this.watch, this.copy),
      engines,
    );
  }

  update(link) {
    const grade = gradeOf(link);
    setText(this.name, nameOf(link));
    setText(this.chip, t.linkGrades[grade]);
    setAttribute(this.chip, "data-grade", grade);
    setAttribute(this.chip, "title", t.linkScore(count(link.score * 100)));
    setAttribute(this.meter, "value", link.score);
    setAttribute(this.meter, "data-grade", grade);
    if (this.watch) setAttribute(this.watch, "aria-label", t.ofStream(t.watchHere, nameOf(link)));
    if (this.copy) setAttribute(this.copy, "aria-label", t.ofStream(t.copyLink, nameOf(link)));
    this.engines.update(link.engines);
  }
}

const ORDERS = {
  seen: () => 0, // as the server tells them
  best: (a, b) => b.score - a.score,
  worst: (a, b) => a.score - b.score,
};

export class LinksView {
  constructor() {
    this.links = null;
    this.total = 0;
    this.shown = PAGE;
    this.timer = 0;
    const list = h("ul", { class: "past-list" });
    this.list = new KeyedList(list, (link) => link.key, (link) => new LinkCard(link));
    this.search = h("input", { type: "search", placeholder: t.linkSearch, "aria-label": t.linkSearch, spellcheck: "false", oninput: () => this.draw() });
    const orders = Object.entries(t.linkOrders).map(([value, text]) => h("option", { value, text }));
    this.order = h("select", { onchange: () => this.draw() }, ...orders);
    this.controls = h(
      "div",
      { class: "log-controls panel", hidden: true },
      this.search,
      h("label", { class: "field inline" }, h("span", { text: t.linkOrder }), this.order),
    );
    this.loading = h("p", { class: "loading", text: t.page.loading });
    this.problem = h("p", { class: "form-problem", role: "alert", hidden: true });
    this.empty = h("div", { class: "empty panel", hidden: true }, h("h2", { text: t.linksEmpty }), h("p", { text: t.linksEmptyBody }));
    this.none = h("p", { class: "empty panel", text: t.linksNoMatch, hidden: true });
    this.count = h("p", { class: "quiet", role: "status" });
    this.more = h("button", { type: "button", class: "button", text: t.linksMore, hidden: true, onclick: () => this.showMore() });
    this.root = h(
      "div",
      { class: "view links-view" },
      h("h1", { text: t.views.links }),
      pastTabs("links"),
      h("p", { class: "quiet lead", text: t.linksLead }),
      this.controls,
      this.loading,
      this.problem,
      this.empty,
      this.none,
      list,
      h("div", { class: "links-foot" }, this.count, this.more),
    );
  }

  enter() {
    this.shown = PAGE;
    this.named = false; // drawn since the engines are known by their names
    this.load();
    this.timer = setInterval(() => document.hidden || this.load(), AGAIN_MS);
  }

  leave() {
    clearInterval(this.timer);
  }

  update({ engines }) {
    if (!engines || !this.links || this.named) return;
    this.named = true;
    this.draw();
  }

  async load() {
    try {
      const answer = await get(`api/aceproxy/links?limit=${MOST}`);
      this.links = answer.links;
      this.total = answer.total;
      show(this.problem, false);
    } catch (error) {
      setText(this.problem, t.linksFailed(error.message)); // what was known stays
      show(this.problem, true);
    }
    show(this.loading, false);
    if (this.links) this.draw();
  }

  showMore() {
    this.shown += PAGE;
    this.draw();
  }

  draw() {
    const words = this.search.value.trim().toLowerCase();
    const found = this.links.filter((link) => `${link.title ?? ""} ${link.key}`.toLowerCase().includes(words));
    found.sort(ORDERS[this.order.value]);
    const visible = found.slice(0, this.shown);
    this.list.update(visible);
    const known = this.links.length > 0;
    show(this.controls, known);
    show(this.empty, !known);
    show(this.none, known && found.length === 0);
    show(this.more, visible.length < found.length);
    setText(this.count, known ? t.showing(count(visible.length), count(words ? found.length : this.total)) : "");
  }
}
