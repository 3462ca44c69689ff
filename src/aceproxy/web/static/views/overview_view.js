/** The first page: the figures, their last minutes, the play box, the streams, the engines and what ended lately. */

import { playUrl } from "../api.js";
import { stopStream } from "../actions.js";
import { h, KeyedList, rescueFocus, setAttribute, setText, show } from "../dom.js";
import { EndedStreams } from "../ended.js";
import { EngineLines } from "../engine_lines.js";
import { engineName } from "../engine_names.js";
import { count, NOTHING, rate, rateParts, ratio, size } from "../format.js";
import { Graph } from "../graph.js";
import { playedKey } from "../links.js";
import { PlayBox } from "../play.js";
import { routeTo } from "../router.js";
import { detailWords } from "../server_words.js";
import { StreamCard } from "../stream_card.js";
import { t } from "../texts.js";

const STATES = ["live", "starting", "recovering", "lingering", "draining"];
const MANY = 6; // streams, from which on the cards are short and there is a field to find one
const EXAMPLE = [["id", "0123456789abcdef0123456789abcdef01234567"]];

function figure(name) {
  const value = h("span", { class: "figure-value", text: NOTHING });
  const unit = h("span", { class: "figure-unit" });
  const detail = h("p", { class: "figure-detail" });
  const root = h(
    "div",
    { class: `figure figure-${name}` },
    h("p", { class: "figure-name", text: t.figures[name] }),
    h("p", { class: "figure-number" }, value, " ", unit),
    detail,
  );
  return { root, value, unit, detail };
}

export class OverviewView {
  constructor({ record, changed }) {
    this.record = record;
    this.changed = changed;
    this.known = new Map();
    this.streams = [];
    this.figures = Object.fromEntries(Object.keys(t.figures).map((name) => [name, figure(name)]));
    this.graph = new Graph({
      title: t.throughput,
      series: [
        { name: "outbound", label: t.figures.outbound, tone: "outbound", fill: true },
        { name: "inbound", label: t.figures.inbound, tone: "inbound", fill: true },
      ],
      format: rate,
      floor: 1e6,
    });
    this.storeProblem = h("p", { class: "verdict", role: "status", hidden: true });
    const playTitle = h("h2", { id: "play-title" }, h("label", { for: "link", text: t.page.play }));
    const playSection = h("section", { class: "play panel", id: "play", "aria-labelledby": "play-title" }, playTitle);
    this.play = new PlayBox(playSection, (key) => this.known.get(key));
    this.buildStreams();
    const engines = h("div");
    const ended = h("div");
    this.engines = new EngineLines(engines);
    this.ended = new EndedStreams(ended);
    const all = Object.values(this.figures).map((one) => one.root);
    this.root = h(
      "div",
      { class: "view overview" },
      h("h1", { class: "unseen", text: t.views.overview }),
      this.storeProblem,
      h("section", { class: "figures panel", id: "figures", "aria-label": t.views.overview }, ...all, this.graph.root),
      playSection,
      h(
        "div",
        { class: "columns" },
        this.section,
        h(
          "div",
          { class: "rail" },
          h("section", { class: "panel", id: "engines", "aria-labelledby": "engines-title" },
            h("h2", { id: "engines-title" }, h("a", { href: routeTo("engines"), text: t.page.engines })), engines),
          h("section", { class: "panel", id: "ended", "aria-labelledby": "ended-title" },
            h("h2", { id: "ended-title" }, h("a", { href: routeTo("history"), text: t.page.ended })), ended),
        ),
      ),
    );
  }

  buildStreams() {
    this.title = h("h2", { id: "streams-title", tabindex: "-1", text: t.page.streams });
    this.loading = h("p", { class: "loading", text: t.page.loading });
    this.cards = h("div", { class: "cards" });
    const actions = {
      stop: async (stream) => (await stopStream(stream)) && this.changed(),
      outboundOf: (streamId) => this.record.outboundOf(streamId),
    };
    this.list = new KeyedList(this.cards, (stream) => stream.stream_id, (stream) => new StreamCard(stream, actions));
    this.engineless = h("p", { class: "verdict", hidden: true }, `${t.emptyNoEngine} `);
    this.engineless.append(h("a", { href: routeTo("engines"), text: t.page.engines }), ".");
    this.empty = h(
      "div",
      { class: "empty panel", hidden: true },
      h("h3", { text: t.emptyTitle }),
      this.engineless,
      h("p", { text: t.emptyBody }),
      h("ol", {}, ...t.emptySteps.map((step) => h("li", { text: step }))),
      h("p", { class: "quiet", text: t.emptyExample }),
      h("code", { class: "empty-example", tabindex: "0", text: playUrl(EXAMPLE) }),
    );
    this.search = h("input", {
      type: "search",
      class: "stream-search",
      placeholder: t.streamSearch,
      "aria-label": t.streamSearch,
      spellcheck: "false",
      hidden: true,
      oninput: () => this.draw(),
    });
    this.none = h("p", { class: "empty panel", text: t.streamsNoMatch, hidden: true });
    const head = h("div", { class: "streams-head" }, this.title, this.search);
    this.section = h("section", { class: "streams", "aria-labelledby": "streams-title" }, head, this.loading, this.empty, this.none, this.cards);
  }

  enter() {
    this.graph.enter();
  }

  leave() {
    this.graph.leave();
  }

  /** Take what the feed knows. */
  update({ stats, streams, engines, recent, store_problem: problem }) {
    if (problem !== undefined) {
      setText(this.storeProblem, problem ? t.historyProblem(detailWords(problem)) : "");
      show(this.storeProblem, Boolean(problem));
    }
    if (stats) this.showStats(stats);
    if (engines) {
      this.engines.update(engines);
      show(this.engineless, engines.length > 0 && engines.every((engine) => ["down", "hung"].includes(engine.state)));
    }
    if (streams) this.showStreams(streams);
    if (recent) this.ended.update(recent);
    this.graph.update(this.record.totals);
  }

  showStreams(streams) {
    const hadFocus = this.cards.contains(document.activeElement);
    this.known = new Map(streams.map((stream) => [playedKey(stream), stream])); // names of its own are stronger
    for (const stream of streams) {
      for (const key of [...(stream.aliases ?? []), stream.key]) this.known.set(key, stream);
      if (stream.infohash) this.known.set(`infohash:${stream.infohash}`, stream);
    }
    this.streams = streams;
    show(this.loading, false);
    this.draw();
    show(this.empty, streams.length === 0);
    if (hadFocus) rescueFocus(this.title);
    this.play.update();
  }

  /** Show the streams, or of many those that were looked for. */
  draw() {
    const many = this.streams.length > MANY;
    show(this.search, many);
    this.cards.classList.toggle("many", many);
    const words = many ? this.search.value.trim().toLowerCase() : "";
    const found = this.streams.filter((one) => `${one.title ?? ""} ${one.key} ${one.engine ?? ""} ${one.engine ? engineName(one.engine) : ""}`.toLowerCase().includes(words));
    this.list.update(found);
    show(this.none, words !== "" && found.length === 0);
  }

  showStats(stats) {
    const { streams, clients, inbound, outbound } = this.figures;
    setText(streams.value, count(stats.total_streams));
    setText(streams.detail, stateWords(stats));
    setAttribute(streams.detail, "title", t.startedFailed(count(stats.streams_started), count(stats.streams_failed)));
    setText(clients.value, count(stats.total_clients));
    setText(clients.detail, t.servedSkips(count(stats.clients_served), stats.skips));
    showRate(inbound, stats.inbound_bps, t.sinceStart(size(stats.inbound_bytes)));
    const factor = stats.inbound_bps > 0 ? stats.outbound_bps / stats.inbound_bps : 0;
    const total = t.sinceStart(size(stats.outbound_bytes));
    showRate(outbound, stats.outbound_bps, factor >= 0.1 ? `${t.fanOut(ratio(factor))}, ${total}` : total);
  }
}

function stateWords(stats) {
  const states = stats.streams_by_state ?? {};
  const words = STATES.filter((state) => states[state] > 0).map((state) => `${states[state]} ${t.states[state]}`);
  return words.join(", ") || t.startedFailed(count(stats.streams_started), count(stats.streams_failed));
}

function showRate(view, bps, detail) {
  const [value, unit] = rateParts(bps);
  setText(view.value, value);
  setText(view.unit, unit);
  setText(view.detail, detail);
}
