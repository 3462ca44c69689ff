/** The way of a stream: four stations from the swarm to the clients, each with its figure and how it is; or its start. */

import { h, outside, setAttribute, setText, show } from "./dom.js";
import { count, NOTHING, rate, rateParts, secondsParts, size, span } from "./format.js";
import { detailWords } from "./server_words.js";
import { t } from "./texts.js";
import { judge } from "./verdict.js";

class Station {
  constructor(name) {
    this.value = h("span", { class: "station-value" });
    this.unit = h("span", { class: "station-unit" });
    this.detail = h("p", { class: "station-detail" });
    this.root = h(
      "li",
      { class: "station" },
      h("p", { class: "station-name", text: t.stations[name] }),
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

export class Way {
  constructor() {
    this.words = h("p", { class: "verdict" });
    this.stations = Object.fromEntries(Object.keys(t.stations).map((name) => [name, new Station(name)]));
    this.bar = h("progress", { class: "start-bar", max: 100 });
    this.startWords = h("p", { class: "start-words" });
    this.startDetail = outside("start-detail");
    this.start = h("div", { class: "start" }, this.startWords, this.bar, h("p", {}, this.startDetail));
    this.line = h("ol", { class: "way" }, ...Object.values(this.stations).map((station) => station.root));
    this.root = h("div", { class: "way-box" }, this.words, this.line, this.start);
  }

  /** Take a stream; `outboundBps` is its rate to all clients, null where that is not known. */
  update(stream, outboundBps) {
    const verdict = judge(stream);
    setText(this.words, verdict.words);
    show(this.words, verdict.words !== "");
    this.updateSource(stream, verdict);
    const held = t.keyframes(count(stream.access_points), size(stream.buffer_bytes));
    this.stations.buffer.update(verdict.buffer, ...secondsParts(stream.buffer_s), held);
    const waiting = stream.waiting ? t.waiting(count(stream.waiting)) : "";
    const n = stream.client_count;
    const words = [n && outboundBps !== null ? t.clientsRate(rate(outboundBps)) : "", waiting].filter(Boolean).join(" · ");
    this.stations.clients.update(verdict.clients, count(n), t.clientsWord(n), words || NOTHING);
    const starting = stream.state === "starting";
    show(this.start, starting);
    if (starting) this.updateStart(stream);
  }

  updateSource(stream, verdict) {
    const stat = stream.engine_stat ?? {};
    const speeds = Number.isFinite(stat.speed_down_bps)
      ? t.downUp(rate(stat.speed_down_bps), rate(stat.speed_up_bps))
      : t.notTold;
    this.stations.swarm.update(verdict.swarm, count(stat.peers), t.peers(stat.peers), speeds);
    const source =
      stream.last_byte_age_s > 2
        ? t.lastByte(span(stream.last_byte_age_s))
        : stream.bitrate_bps
          ? t.bitrate(rate(stream.bitrate_bps))
          : t.sourceOf(size(stream.inbound_bytes));
    this.stations.source.update(verdict.source, ...rateParts(stream.inbound_bps), source);
  }

  updateStart(stream) {
    const stat = stream.engine_stat ?? {};
    const known = stat.status === "prebuf" && Number.isFinite(stat.progress);
    const words = known ? t.starting.prebuffer(stat.progress) : stat.status === "dl" ? t.starting.opening : t.starting.asking;
    setText(this.startWords, t.inState(words, span(stream.state_s)).replace(/^./, (first) => first.toUpperCase()));
    setAttribute(this.bar, "value", known ? Math.max(0, Math.min(100, stat.progress)) : null);
    setAttribute(this.bar, "aria-label", words);
    setText(this.startDetail, known ? "" : detailWords(stream.start_detail ?? ""));
  }
}
