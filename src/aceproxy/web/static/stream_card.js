/** One stream: its head, its way from the swarm to the clients, its buffer, and its clients. */

import { playUrl } from "./api.js";
import { Clients } from "./clients.js";
import { h, KeyedList, outside, setAttribute, setText, show } from "./dom.js";
import { copyButton } from "./feedback.js";
import { count, hostOf, NOTHING, rate, rateParts, secondsParts, shortId, since, size, span } from "./format.js";
import { icon } from "./icons.js";
import { queryOfKey } from "./links.js";
import { Ring } from "./ring.js";
import { Sparkline } from "./sparkline.js";
import { reasonWords, t } from "./texts.js";
import { judge } from "./verdict.js";

const ENDED_SHOWN = 20;

/** What a stream is called: its title, else its short id. */
export const nameOf = (stream) => stream.title || t.untitled(shortId(stream.stream_id));

class Station {
  constructor(name) {
    this.value = h("span", { class: "station-value" });
    this.unit = h("span", { class: "station-unit" });
    this.detail = h("p", { class: "station-detail" });
    this.root = h(
      "li",
      { class: "station" },
      h("h4", { class: "station-name", text: t.stations[name] }),
      h("p", { class: "station-number" }, this.value, " ", this.unit),
      this.detail,
    );
  }

  update(status, value, unit, detail) {
    setAttribute(this.root, "data-status", status);
    setText(this.value, value);
    setText(this.unit, unit);
    setText(this.detail, detail);
  }
}

class EndedClientRow {
  constructor(ended) {
    const agent = ended.agent || t.unknownAgent;
    this.when = h("span", { class: "quiet" });
    this.root = h(
      "li",
      {},
      h("span", { class: "gone-who" }, outside("agent", agent), " ", outside("quiet", ended.address)),
      h(
        "span",
        { class: "gone-why", title: ended.reason },
        reasonWords(ended.reason),
        " ",
        ended.reason !== "client_left" &&
          h("span", { class: "fault", "data-fault": ended.fault, title: t.whose, text: t.faults[ended.fault] ?? ended.fault }),
      ),
      h("span", { class: "quiet", text: t.endedSent(size(ended.sent_bytes), ended.skips) }),
      this.when,
    );
  }

  update(ended) {
    setText(this.when, t.ago(span(since(ended.ended_at))));
  }
}

export class StreamCard {
  /** `actions`: `stop(stream)`, `kick(stream, clientId, name)`, `showLog(streamId)`. */
  constructor(stream, actions) {
    this.stream = stream;
    this.actions = actions;
    const id = `stream-${stream.stream_id}`;
    this.chip = h("span", { class: "chip" });
    this.name = h("h3", { class: "card-name", id, tabindex: "-1" }, outside());
    this.facts = h("p", { class: "card-facts" });
    this.words = h("p", { class: "verdict" });
    this.stations = Object.fromEntries(Object.keys(t.stations).map((name) => [name, new Station(name)]));
    this.spark = new Sparkline({ label: t.sparkOf(t.figures.inbound), floor: 5e5 });
    this.stations.source.root.append(this.spark.root);
    this.ring = new Ring();
    this.start = this.buildStart();
    this.clients = new Clients((clientId, name) => actions.kick(this.stream, clientId, name));
    this.clientsBox = this.fold(this.clients.root);
    const gone = h("ul", { class: "gone" });
    this.gone = new KeyedList(gone, (ended) => ended.client_id, (ended) => new EndedClientRow(ended));
    this.goneBox = this.fold(gone);
    this.root = h(
      "article",
      { class: "card", "aria-labelledby": id },
      h(
        "header",
        { class: "card-head" },
        h("div", {}, h("div", { class: "card-title" }, this.chip, this.name), this.facts),
        this.buildButtons(),
      ),
      this.words,
      h("ol", { class: "way" }, ...Object.values(this.stations).map((station) => station.root)),
      this.start.root,
      this.ring.root,
      h("div", { class: "folds" }, this.clientsBox.root, this.goneBox.root),
    );
  }

  buildButtons() {
    this.copy = copyButton({ label: t.copyLink, textOf: () => this.link() });
    const log = h(
      "button",
      { type: "button", class: "button", onclick: () => this.actions.showLog(this.stream.stream_id) },
      icon("lines"),
      h("span", { text: t.showLog }),
    );
    this.stop = h(
      "button",
      { type: "button", class: "button stop", onclick: () => this.actions.stop(this.stream) },
      icon("stop"),
      h("span", { text: t.stop }),
    );
    this.buttons = { [t.copyLink]: this.copy, [t.showLog]: log, [t.stop]: this.stop };
    return h("div", { class: "card-buttons" }, this.copy, log, this.stop);
  }

  buildStart() {
    const bar = h("progress", { class: "start-bar", max: 100 });
    const words = h("p", { class: "start-words" });
    const detail = outside("start-detail");
    return { bar, words, detail, root: h("div", { class: "start" }, words, bar, h("p", {}, detail)) };
  }

  /** A details element; what is in it is brought up to date only while it is open. */
  fold(content) {
    const summary = h("summary");
    const root = h("details", { class: "fold", ontoggle: () => this.updateFolds() }, summary, content);
    return { root, summary };
  }

  link() {
    const query = queryOfKey(this.stream.key, this.stream.infohash);
    return query && playUrl(query);
  }

  update(stream) {
    this.stream = stream;
    const name = nameOf(stream);
    setText(this.name.firstChild, name);
    setText(this.chip, t.states[stream.state] ?? stream.state);
    setAttribute(this.chip, "data-state", stream.state);
    setAttribute(this.chip, "title", t.inState(t.states[stream.state] ?? stream.state, span(stream.state_s)));
    setAttribute(this.root, "data-state", stream.state);
    for (const [what, button] of Object.entries(this.buttons)) setAttribute(button, "aria-label", t.ofStream(what, name));
    const linkless = this.link() === null;
    if (this.copy.disabled !== linkless) this.copy.disabled = linkless;
    setAttribute(this.copy, "title", linkless ? t.copyLinkNone : null);
    setText(this.facts, factsOf(stream));
    this.updateWay(stream);
    const starting = stream.state === "starting";
    show(this.start.root, starting);
    show(this.ring.root, !starting);
    if (starting) this.updateStart(stream);
    else this.ring.update(stream);
    this.updateFolds();
  }

  updateWay(stream) {
    const verdict = judge(stream);
    setText(this.words, verdict.words);
    show(this.words, verdict.words !== "");
    const stat = stream.engine_stat ?? {};
    const speeds = Number.isFinite(stat.speed_down_bps)
      ? t.downUp(rate(stat.speed_down_bps), rate(stat.speed_up_bps))
      : t.notTold;
    this.stations.swarm.update(verdict.swarm, count(stat.peers), t.peers(stat.peers), speeds);
    this.spark.push(stream.inbound_bps);
    const source =
      stream.last_byte_age_s > 2
        ? t.lastByte(span(stream.last_byte_age_s))
        : stream.bitrate_bps
          ? t.bitrate(rate(stream.bitrate_bps))
          : t.sourceOf(size(stream.inbound_bytes));
    this.stations.source.update(verdict.source, ...rateParts(stream.inbound_bps), source);
    const held = t.keyframes(count(stream.access_points), size(stream.buffer_bytes));
    this.stations.buffer.update(verdict.buffer, ...secondsParts(stream.buffer_s), held);
    const outbound = stream.clients.reduce((sum, client) => sum + client.outbound_bps, 0);
    const waiting = stream.waiting ? t.waiting(count(stream.waiting)) : "";
    const words = [stream.client_count ? t.clientsRate(rate(outbound)) : "", waiting].filter(Boolean).join(" · ");
    const n = stream.client_count;
    this.stations.clients.update(verdict.clients, count(n), t.clientsWord(n), words || NOTHING);
  }

  updateStart(stream) {
    const stat = stream.engine_stat ?? {};
    const known = stat.status === "prebuf" && Number.isFinite(stat.progress);
    const words = known ? t.starting.prebuffer(stat.progress) : stat.status === "dl" ? t.starting.opening : t.starting.asking;
    setText(this.start.words, t.inState(words, span(stream.state_s)).replace(/^./, (first) => first.toUpperCase()));
    setAttribute(this.start.bar, "value", known ? Math.max(0, Math.min(100, stat.progress)) : null);
    setAttribute(this.start.bar, "aria-label", words);
    setText(this.start.detail, known ? "" : (stream.start_detail ?? ""));
  }

  updateFolds() {
    const { clients, ended_clients: ended, client_count: n } = this.stream;
    setText(this.clientsBox.summary, t.clientsSummary(count(n)));
    if (this.clientsBox.root.open) this.clients.update(this.stream);
    show(this.clientsBox.root, clients.length > 0 || this.clientsBox.root.contains(document.activeElement));
    setText(this.goneBox.summary, t.endedClients(count(ended.length)));
    show(this.goneBox.root, ended.length > 0);
    if (this.goneBox.root.open) this.gone.update(ended.slice(0, ENDED_SHOWN));
  }
}

function factsOf(stream) {
  const seen = stream.codecs.filter((codec) => ["video", "audio"].includes(codec.kind) && codec.codec);
  const codecs = seen.map((codec) => [t.codecs[codec.codec] ?? codec.codec, codec.language].filter(Boolean).join(" "));
  const facts = [
    stream.title ? shortId(stream.stream_id) : "",
    [...new Set(codecs)].join(", "),
    stream.engine ? t.engineWord(hostOf(stream.engine)) : "",
    t.runningFor(span(stream.uptime_s)),
    stream.recoveries ? t.recoveries(count(stream.recoveries)) : "",
    stream.dropped_bytes ? t.dropped(size(stream.dropped_bytes)) : "",
  ];
  return facts.filter(Boolean).join("  ·  ");
}
