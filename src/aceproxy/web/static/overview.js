/** The head of the page and the four figures below it. */

import { h, setAttribute, setText } from "./dom.js";
import { count, NOTHING, rate, rateParts, size, span } from "./format.js";
import { Sparkline } from "./sparkline.js";
import { t } from "./texts.js";

const STATES = ["live", "starting", "recovering", "lingering"];
const byId = (id) => document.getElementById(id);

function figure(name, { spark = false } = {}) {
  const value = h("span", { class: "figure-value", text: NOTHING });
  const unit = h("span", { class: "figure-unit" });
  const detail = h("p", { class: "figure-detail" });
  const line = spark ? new Sparkline({ label: t.sparkOf(t.figures[name]), floor: 1e6 }) : null;
  const peak = h("span", { class: "spark-peak" });
  const root = h(
    "div",
    { class: `figure figure-${name}` },
    h("p", { class: "figure-name", text: t.figures[name] }),
    h("p", { class: "figure-number" }, value, " ", unit),
    detail,
  );
  if (line) root.append(h("div", { class: "figure-spark" }, line.root, peak));
  return { root, value, unit, detail, line, peak };
}

export class Overview {
  constructor() {
    this.streams = figure("streams");
    this.clients = figure("clients");
    this.inbound = figure("inbound", { spark: true });
    this.outbound = figure("outbound", { spark: true });
    const all = [this.streams, this.clients, this.inbound, this.outbound];
    byId("figures").append(...all.map((one) => one.root));
  }

  /** Take an answer of /api/health. */
  showHealth(health) {
    setText(byId("version"), health.version ?? "");
    const pill = byId("health");
    const asked = (health.engines ?? []).some((engine) => engine.state !== "unknown");
    const status = asked ? health.status : "unknown";
    setText(pill, t.health[status] ?? status ?? "");
    setAttribute(pill, "data-status", status);
    setAttribute(pill, "title", health.message || null);
    setText(byId("uptime"), t.up(span(health.uptime_s)));
  }

  /** Take an answer of /api/aceproxy/stats. */
  showStats(stats) {
    setText(this.streams.value, count(stats.total_streams));
    setText(this.streams.detail, stateWords(stats));
    setAttribute(this.streams.detail, "title", t.startedFailed(count(stats.streams_started), count(stats.streams_failed)));
    setText(this.clients.value, count(stats.total_clients));
    setText(this.clients.detail, t.servedSkips(count(stats.clients_served), stats.skips));
    showRate(this.inbound, stats.inbound_bps, t.sinceStart(size(stats.inbound_bytes)));
    const factor = stats.inbound_bps > 0 ? stats.outbound_bps / stats.inbound_bps : 0;
    const total = t.sinceStart(size(stats.outbound_bytes));
    showRate(this.outbound, stats.outbound_bps, factor >= 0.1 ? `${t.fanOut(factor.toFixed(1))}, ${total}` : total);
    document.title = t.title(stats.total_clients ?? 0);
  }

  /** Say whether what is shown is fresh. */
  showContact(fresh) {
    setText(byId("contact"), fresh ? t.fresh : t.stale);
    setAttribute(byId("contact"), "data-fresh", fresh ? "yes" : "no");
    byId("main").classList.toggle("old", !fresh);
    if (!fresh) document.title = t.titleLost;
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
  view.line.push(bps);
  setText(view.peak, t.peak(rate(view.line.peak())));
}
