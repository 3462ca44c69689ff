/** Lines over time, drawn by uPlot in the colours of the page. What it shows is told to screen readers in words. */

import { h, setAttribute, setText } from "./dom.js";
import { t } from "./texts.js";
import { library } from "./vendor.js";

const SPAN_S = 300;
const HEIGHT = 132;
const LASTING = 5; // samples: what is high for less than half of them is a burst
const ROOM = 1.25; // of what lasts, so that a line does not run along the upper edge
const graphs = new Set();

addEventListener("aceproxy-theme", () => graphs.forEach((graph) => graph.redraw()));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => graphs.forEach((graph) => graph.redraw()));

const tone = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** The highest value that lasts: the maximum of the medians of some samples in a row. Pure. */
export function lasting(values) {
  const known = values.filter((value) => value !== null);
  const width = Math.min(LASTING, known.length);
  let most = 0;
  for (let at = 0; at + width <= known.length && width > 0; at += 1) {
    const near = known.slice(at, at + width).sort((a, b) => a - b);
    most = Math.max(most, near[(width - 1) >> 1]);
  }
  return most;
}

export class Graph {
  /**
   * `series`: `{ name, label, tone, fill }`, `name` a column of a record, `tone` a colour of style.css; `format(value)`
   * writes a value; `floor`: the least value that fills the height, so that noise near zero does not look like a storm.
   */
  constructor({ title, series, format, floor = 1 }) {
    this.title = title;
    this.series = series;
    this.format = format;
    this.floor = floor;
    this.plot = null;
    this.columns = null;
    this.values = series.map(() => h("span", { class: "graph-value" }));
    this.canvas = h("div", { class: "graph-canvas", role: "img" });
    const legend = series.map((one, at) =>
      h("span", { class: `graph-key tone-${one.tone}` }, h("span", { class: "graph-name", text: one.label }), " ", this.values[at]),
    );
    this.root = h(
      "figure",
      { class: "graph" },
      h("figcaption", { class: "graph-head" }, h("span", { class: "graph-title", text: title }), h("span", { class: "graph-keys" }, ...legend)),
      this.canvas,
    );
    this.watcher = new ResizeObserver(() => this.fit());
  }

  /** Begin to draw: the page is shown. */
  enter() {
    graphs.add(this);
    this.watcher.observe(this.canvas);
    this.draw();
  }

  /** Stop drawing: the page is left. */
  leave() {
    graphs.delete(this);
    this.watcher.disconnect();
    this.plot?.destroy();
    this.plot = null;
  }

  /** Take the columns of a record; undefined where there is none. */
  update(columns) {
    this.columns = columns;
    const words = this.series.map((one, at) => {
      const value = columns?.columns[one.name].at(-1);
      const text = this.format(value);
      setText(this.values[at], text);
      return `${one.label} ${text}`;
    });
    setAttribute(this.canvas, "aria-label", `${t.graphOf(this.title)}: ${words.join(", ")}`);
    this.draw();
  }

  data() {
    if (!this.columns) return [[], ...this.series.map(() => [])];
    return [this.columns.t, ...this.series.map((one) => this.columns.columns[one.name])];
  }

  /** What fills the height. A short burst, as every start has one, is cut off instead of flattening all the rest. */
  top() {
    const [times, ...columns] = this.data();
    const from = (times.at(-1) ?? 0) - SPAN_S;
    const first = Math.max(0, times.findIndex((at) => at >= from));
    return Math.max(this.floor, ...columns.map((column) => lasting(column.slice(first)))) * ROOM;
  }

  async draw() {
    if (!graphs.has(this) || document.hidden) return;
    if (this.plot) {
      this.plot.setData(this.data());
      return;
    }
    const width = this.canvas.clientWidth;
    if (width === 0 || this.making) return;
    this.making = true;
    try {
      const UPlot = await library("uPlot");
      if (graphs.has(this)) this.plot = new UPlot(this.options(width), this.data(), this.canvas);
    } catch {
      // without the library there is no picture; the numbers beside it stay
    }
    this.making = false;
  }

  options(width) {
    const axis = { stroke: tone("muted"), font: `11px ${tone("sans")}`, grid: { stroke: tone("line"), width: 1 }, ticks: { show: false } };
    return {
      width,
      height: HEIGHT,
      cursor: { show: false },
      legend: { show: false },
      padding: [8, 18, 0, 0],
      scales: {
        x: { time: true, range: (_plot, _low, high) => [(high ?? 0) - SPAN_S, high ?? 0] },
        y: { range: () => [0, this.top()] },
      },
      axes: [
        { ...axis, size: 22, gap: 3, incrs: [60, 120, 300], space: 44, values: (_plot, ticks) => ticks.map(clockOf) },
        { ...axis, size: 66, gap: 4, space: 34, values: (_plot, ticks) => ticks.map((value) => this.format(value)) },
      ],
      series: [
        {},
        ...this.series.map((one) => ({
          stroke: tone(one.tone),
          width: 1.6,
          fill: one.fill ? `${tone(one.tone)}22` : undefined,
          points: { show: false },
          spanGaps: false,
        })),
      ],
    };
  }

  fit() {
    const width = this.canvas.clientWidth;
    if (this.plot && width && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT });
    else if (!this.plot) this.draw();
  }

  redraw() {
    this.plot?.destroy();
    this.plot = null;
    this.draw();
  }
}

const clock = new Intl.DateTimeFormat(t.lang, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

function clockOf(seconds) {
  return clock.format(new Date(seconds * 1000));
}
