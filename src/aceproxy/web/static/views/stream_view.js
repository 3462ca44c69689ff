/** One stream with everything about it: picture, way, buffer, graphs, time line, clients, codecs. */

import { agentLabel } from "../agents.js";
import { watchUrl } from "../api.js";
import { kickClient, stopStream } from "../actions.js";
import { Clients } from "../clients.js";
import { h, KeyedList, outside, setAttribute, setText, show } from "../dom.js";
import { engineName, hiddenAddress } from "../engine_names.js";
import { EventList } from "../event_list.js";
import { faultBadge } from "../faults.js";
import { copyButton } from "../feedback.js";
import { count, NOTHING, rate, seconds, shortId, since, size, span } from "../format.js";
import { Graph } from "../graph.js";
import { icon } from "../icons.js";
import { codecWords, factsOf, linkOf, nameOf, queryOf } from "../names.js";
import { Ring } from "../ring.js";
import { go, routeTo } from "../router.js";
import { Still } from "../still.js";
import { reasonWords, t } from "../texts.js";
import { Way } from "../way.js";

const ENDED_SHOWN = 30;
const TOLD_BEHIND_S = 0.5; // sources send in pieces: less means nothing

class EndedClientRow {
  constructor(ended) {
    this.when = h("span", { class: "quiet" });
    this.root = h(
      "li",
      {},
      h("span", { class: "gone-who" }, agentLabel(ended.agent), " ", outside("quiet", ended.address)),
      h(
        "span",
        { class: "gone-why", title: ended.reason },
        reasonWords(ended.reason),
        " ",
        faultBadge(ended.fault, ended.reason),
      ),
      h("span", { class: "quiet", text: t.endedSent(size(ended.sent_bytes), ended.skips) }),
      this.when,
    );
  }

  update(ended) {
    setText(this.when, t.ago(span(since(ended.ended_at))));
  }
}

/** An engine by its name, with its address where that is another one. */
function engineWords(engine) {
  return engine ? [hiddenAddress(engine) && engineName(engine), engine].filter(Boolean).join(" · ") : NOTHING;
}

/** What stands by: where, whether it could take over now, and how far it is behind what viewers have. */
function standbyWords({ engine, ready, behind_s }) {
  const behind = behind_s >= TOLD_BEHIND_S ? t.standbyBehind(seconds(behind_s)) : "";
  return [engineWords(engine), t.standbyReady(ready), behind].filter(Boolean).join(" · ");
}

export class StreamView {
  /** `follow(streamId)` asks the feed for the details of one stream, or of none (null). */
  constructor({ record, follow, changed }) {
    this.record = record;
    this.follow = follow;
    this.changed = changed;
    this.streamId = null;
    this.stream = null;
    this.buildHead();
    this.buildGraphs();
    this.way = new Way();
    this.ring = new Ring();
    this.clients = new Clients((clientId, name) => this.kick(clientId, name));
    const gone = h("ul", { class: "gone" });
    this.gone = new KeyedList(gone, (ended) => ended.client_id, (ended) => new EndedClientRow(ended));
    this.goneTitle = h("h2");
    this.gonePanel = h("section", { class: "panel", hidden: true }, this.goneTitle, gone);
    this.clientsTitle = h("h2", { id: "clients-title" });
    this.events = new EventList();
    this.facts = h("dl", { class: "facts" });
    this.over = h("p", { class: "verdict", hidden: true, role: "status" });
    this.loading = h("p", { class: "loading", text: t.page.loading });
    const panel = (title, ...content) => h("section", { class: "panel" }, h("h2", { text: title }), ...content);
    this.body = h(
      "div",
      { class: "stream-body", hidden: true },
      h("section", { class: "panel hero", "aria-labelledby": "stream-title" }, this.still.root, this.head, this.way.root, this.ring.root),
      h("section", { class: "graphs", "aria-label": t.graphs }, ...this.graphs.map((one) => h("div", { class: "panel" }, one.root))),
      h("section", { class: "panel clients-panel", "aria-labelledby": "clients-title" }, this.clientsTitle, this.clients.root),
    );
    this.factsPanel = panel(t.facts, this.facts);
    const pair = h("div", { class: "pair" }, panel(t.timeline, this.events.root), h("div", { class: "stack" }, this.factsPanel, this.gonePanel));
    this.root = h(
      "div",
      { class: "view stream-view" },
      h("p", { class: "crumbs" }, h("a", { href: routeTo("overview") }, icon("back"), h("span", { text: t.views.overview }))),
      this.over,
      this.loading,
      this.body,
      pair,
    );
  }

  buildHead() {
    this.still = new Still();
    this.chip = h("span", { class: "chip" });
    this.name = h("h1", { id: "stream-title", class: "stream-title" }, outside());
    this.line = h("p", { class: "card-facts" });
    this.watch = h("a", { class: "button primary" }, icon("resume"), h("span", { text: t.watchHere }));
    this.copy = copyButton({ label: t.copyLink, textOf: () => this.stream && linkOf(this.stream) });
    const log = h(
      "button",
      { type: "button", class: "button", onclick: () => go("log", this.streamId) },
      icon("lines"),
      h("span", { text: t.showLog }),
    );
    const stop = h("button", { type: "button", class: "button stop", onclick: () => this.stop() }, icon("stop"), h("span", { text: t.stop }));
    this.buttons = h("div", { class: "card-buttons" }, this.watch, this.copy, log, stop);
    this.head = h("header", { class: "card-head" }, h("div", { class: "card-title" }, this.name, this.chip), this.line, this.buttons);
  }

  buildGraphs() {
    this.graphs = [
      new Graph({
        title: t.graphInbound,
        series: [
          { name: "inbound", label: t.figures.inbound, tone: "inbound", fill: true },
          { name: "bitrate", label: t.graphBitrate, tone: "busy" },
        ],
        format: rate,
        floor: 5e5,
      }),
      new Graph({ title: t.graphOutbound, series: [{ name: "outbound", label: t.figures.outbound, tone: "outbound", fill: true }], format: rate, floor: 5e5 }),
      new Graph({ title: t.graphPeers, series: [{ name: "peers", label: t.stations.swarm, tone: "busy", fill: true }], format: count, floor: 5 }),
      new Graph({ title: t.graphBuffer, series: [{ name: "buffer", label: t.stations.buffer, tone: "warn", fill: true }], format: seconds, floor: 10 }),
    ];
  }

  enter(streamId) {
    this.streamId = streamId;
    this.stream = null;
    this.graphs.forEach((graph) => graph.enter());
    this.events.follow(streamId);
    show(this.body, false);
    show(this.factsPanel, false);
    show(this.gonePanel, false);
    show(this.loading, true);
    show(this.over, false);
    this.follow(streamId);
    this.events.refresh();
  }

  leave() {
    this.graphs.forEach((graph) => graph.leave());
    this.follow(null);
  }

  update() {}

  /** Take the details of the followed stream; null once it is gone. */
  updateStream(stream) {
    if (stream === null) {
      this.showOver();
      return;
    }
    this.stream = stream;
    show(this.loading, false);
    show(this.over, false);
    show(this.body, true);
    show(this.factsPanel, true);
    setAttribute(this.body, "data-over", null);
    const name = nameOf(stream);
    setText(this.name.firstChild, name);
    setText(this.chip, t.states[stream.state] ?? stream.state);
    setAttribute(this.chip, "data-state", stream.state);
    setText(this.line, factsOf(stream));
    setAttribute(this.line, "title", hiddenAddress(stream.engine));
    const query = queryOf(stream);
    show(this.watch, query !== null);
    if (query) setAttribute(this.watch, "href", watchUrl(query));
    this.copy.disabled = query === null;
    setAttribute(this.copy, "title", query === null ? t.copyLinkNone : null);
    this.still.update(stream, name);
    this.way.update(stream, stream.clients.reduce((sum, client) => sum + client.outbound_bps, 0));
    show(this.ring.root, stream.state !== "starting");
    if (stream.state !== "starting") this.ring.update(stream);
    this.updateLists(stream);
  }

  updateLists(stream) {
    const columns = this.record.of(stream.stream_id);
    this.graphs.forEach((graph) => graph.update(columns));
    setText(this.clientsTitle, t.clientsSummary(count(stream.client_count)));
    this.clients.update(stream);
    const ended = stream.ended_clients ?? [];
    show(this.gonePanel, ended.length > 0);
    setText(this.goneTitle, t.endedClients(count(ended.length)));
    this.gone.update(ended.slice(0, ENDED_SHOWN));
    this.updateFacts(stream);
    this.events.refresh();
  }

  updateFacts(stream) {
    const rows = [
      [t.factNames.key, stream.key],
      [t.factNames.infohash, stream.infohash ?? NOTHING],
      [t.factNames.engine, engineWords(stream.engine)],
      ...(stream.standby ? [[t.factNames.standby, standbyWords(stream.standby)]] : []),
      ...(stream.codecs ?? []).map((codec) => [t.factNames.codec(codec.pid, t.codecKinds[codec.kind] ?? codec.kind), codecWords(codec) || NOTHING]),
      [t.factNames.inbound, size(stream.inbound_bytes)],
      [t.factNames.outbound, size(stream.outbound_bytes)],
      [t.factNames.recoveries, count(stream.recoveries)],
      [t.factNames.dropped, size(stream.dropped_bytes)],
    ];
    this.factRows ??= new KeyedList(this.facts, ([name]) => name, ([name]) => {
      const value = outside();
      const root = h("div", { class: "fact" }, h("dt", { text: name }), h("dd", {}, value));
      return { root, update: ([, text]) => setText(value, text) };
    });
    this.factRows.update(rows);
  }

  showOver() {
    show(this.loading, false);
    show(this.over, true);
    setText(this.over, this.stream ? t.streamOver(nameOf(this.stream)) : t.streamUnknown(shortId(this.streamId)));
    setAttribute(this.body, "data-over", "yes");
    this.events.refresh();
  }

  async stop() {
    if (this.stream && (await stopStream(this.stream))) {
      this.changed();
      go("overview");
    }
  }

  async kick(clientId, name) {
    if (await kickClient(this.stream, clientId, name)) this.changed();
  }
}
