/**
 * The buffer as a strip of time: what is held, with the live edge at the right, and every client as a mark at the place
 * it is being served from. A thousand clients are a handful of bins, so the picture costs the same for any number.
 */

import { h, setAttribute, setText, svg } from "./dom.js";
import { count, seconds } from "./format.js";
import { t } from "./texts.js";

const WIDTH = 600;
const HEIGHT = 30;
const BINS = 120;
const LEAST_SPAN_S = 20;
const LATE_S = 6;
const LATE_SHARE = 0.5;

/** How far behind the live edge a client is, in seconds; null if it cannot be told. */
export function lagOf(client, bitrateBps) {
  if (Number.isFinite(client.lag_s)) return Math.max(0, client.lag_s);
  if (Number.isFinite(client.lag_bytes) && bitrateBps > 0) return (client.lag_bytes * 8) / bitrateBps;
  return null;
}

/**
 * Whether a client does not keep up. A full socket alone is no trouble: players that pace themselves always have one.
 * It is trouble when the client nears the end of what is held, where it has to skip.
 */
export function isLate(client, stream) {
  const lag = lagOf(client, stream.bitrate_bps);
  return client.behind && lag !== null && lag > Math.max(LATE_S, stream.buffer_s * LATE_SHARE);
}

function marks(bins) {
  const tallest = Math.max(1, ...bins);
  let path = "";
  bins.forEach((n, bin) => {
    if (n === 0) return;
    const height = HEIGHT * (0.4 + (0.6 * Math.log1p(n)) / Math.log1p(Math.max(tallest, 3)));
    path += `M${((bin + 0.5) * WIDTH) / BINS} ${HEIGHT}V${(HEIGHT - height).toFixed(1)}`;
  });
  return path;
}

export class Ring {
  constructor() {
    this.held = svg("rect", { class: "ring-held", y: 0, height: HEIGHT, rx: 3 });
    this.fine = svg("path", { class: "ring-mark" });
    this.behind = svg("path", { class: "ring-mark ring-behind" });
    this.picture = svg(
      "svg",
      { class: "ring-picture", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
      this.held,
      this.fine,
      this.behind,
    );
    this.far = h("span");
    this.half = h("span");
    this.root = h(
      "div",
      { class: "ring" },
      this.picture,
      h("div", { class: "ring-scale", "aria-hidden": "true" }, this.far, this.half, h("span", { text: t.ringLive })),
    );
  }

  update(stream) {
    const lags = stream.clients.map((client) => [lagOf(client, stream.bitrate_bps), isLate(client, stream)]);
    const known = lags.filter(([lag]) => lag !== null);
    const worst = known.reduce((most, [lag]) => Math.max(most, lag), 0);
    const span = Math.ceil(Math.max(LEAST_SPAN_S, stream.buffer_s, Math.min(worst, stream.buffer_s * 2)) / 5) * 5;
    const fine = new Array(BINS).fill(0);
    const behind = new Array(BINS).fill(0);
    for (const [lag, late] of known) {
      const bin = Math.max(0, Math.min(BINS - 1, Math.floor(BINS * (1 - lag / span))));
      (late ? behind : fine)[bin] += 1;
    }
    const width = (WIDTH * Math.min(1, stream.buffer_s / span)).toFixed(1);
    setAttribute(this.held, "x", (WIDTH - width).toFixed(1));
    setAttribute(this.held, "width", width);
    setAttribute(this.fine, "d", marks(fine));
    setAttribute(this.behind, "d", marks(behind));
    setText(this.far, t.ringAgo(span));
    setText(this.half, t.ringAgo(Math.round(span / 2)));
    const words = t.ringLabel(seconds(stream.buffer_s), count(stream.client_count), worst > 0 ? seconds(worst) : "");
    setAttribute(this.picture, "aria-label", words);
  }
}
