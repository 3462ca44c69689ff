/** A small line of the last two minutes, drawn as SVG. Placed by time, so a pause of the page shows as a gap. */

import { setAttribute, svg } from "./dom.js";

const SPAN_MS = 120000;
const GAP_MS = 4000;
const USUAL_SHARE = 0.85; // of the samples are no burst
const BURST = 2; // times the usual is where the line is cut off
const WIDTH = 240;
const HEIGHT = 40;

export class Sparkline {
  /** `floor` is the least value that fills the height: small noise near zero must not look like a storm. */
  constructor({ label, floor = 1 }) {
    this.samples = [];
    this.floor = floor;
    this.area = svg("path", { class: "spark-area" });
    this.line = svg("path", { class: "spark-line" });
    this.root = svg(
      "svg",
      { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
      svg("path", { class: "spark-base", d: `M0 ${HEIGHT - 0.75}H${WIDTH}` }),
      this.area,
      this.line,
    );
  }

  /** Add the newest value. Bounded: what is older than two minutes is dropped. */
  push(value, nowMs = performance.now()) {
    this.samples.push({ at: nowMs, value: Number.isFinite(value) ? Math.max(0, value) : 0 });
    while (this.samples.length && this.samples[0].at < nowMs - SPAN_MS) this.samples.shift();
    if (this.samples.length > 600) this.samples.shift();
    this.draw(nowMs);
  }

  /** The largest value on show. */
  peak() {
    return this.samples.reduce((most, sample) => Math.max(most, sample.value), 0);
  }

  /** What fills the height. A short burst, as every start has one, is cut off instead of flattening all the rest. */
  top() {
    const sorted = this.samples.map((sample) => sample.value).sort((a, b) => a - b);
    const usual = sorted[Math.floor(sorted.length * USUAL_SHARE)] ?? 0;
    return Math.max(this.floor, Math.min(this.peak(), usual * BURST)) * 1.12;
  }

  draw(nowMs) {
    const top = this.top();
    const x = (at) => (WIDTH * (1 - (nowMs - at) / SPAN_MS)).toFixed(1);
    const y = (value) => (HEIGHT - 1.5 - ((HEIGHT - 3) * Math.min(value, top)) / top).toFixed(1);
    let line = "";
    let area = "";
    this.runs().forEach((run) => {
      const points = run.map((sample) => `${x(sample.at)} ${y(sample.value)}`).join("L");
      line += `M${points}`;
      area += `M${x(run[0].at)} ${HEIGHT}L${points}L${x(run[run.length - 1].at)} ${HEIGHT}Z`;
    });
    setAttribute(this.line, "d", line);
    setAttribute(this.area, "d", area);
  }

  runs() {
    const runs = [];
    this.samples.forEach((sample, at) => {
      const before = this.samples[at - 1];
      if (before === undefined || sample.at - before.at > GAP_MS) runs.push([]);
      runs[runs.length - 1].push(sample);
    });
    return runs;
  }
}
