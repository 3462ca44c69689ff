/** The still of a stream: a small picture of what it shows now, asked for while it can be seen; else a placeholder. */

import { streamPath, url } from "./api.js";
import { h, setAttribute, show } from "./dom.js";
import { icon, swapIcon } from "./icons.js";
import { t } from "./texts.js";

const FRESH_MS = 12000;
const AGAIN_MS = 40000; // after there was none

export class Still {
  constructor() {
    this.picture = h("img", { class: "still-picture", alt: "", width: 320, height: 180, decoding: "async", hidden: true });
    this.symbol = icon("screen");
    this.root = h("div", { class: "still" }, h("div", { class: "still-none", "aria-hidden": "true" }, this.symbol), this.picture);
    this.nextAt = 0;
    this.inView = false;
    this.picture.addEventListener("load", () => this.loaded());
    this.picture.addEventListener("error", () => this.failed());
    new IntersectionObserver((entries) => {
      this.inView = entries[entries.length - 1].isIntersecting;
    }).observe(this.root);
  }

  /** Take the stream; asks for a newer picture when the last one is old. */
  update(stream, name) {
    const codecs = stream.codecs ?? [];
    const hasVideo = codecs.some((codec) => codec.kind === "video");
    swapIcon(this.symbol, codecs.length && !hasVideo ? "sound" : "screen");
    setAttribute(this.picture, "alt", t.stillOf(name));
    if (!hasVideo || stream.state === "starting") {
      show(this.picture, false);
      return;
    }
    const now = performance.now();
    if (!this.inView || document.hidden || now < this.nextAt) return;
    this.nextAt = now + FRESH_MS;
    this.picture.src = `${url(`${streamPath(stream.stream_id)}/still.jpg`)}?at=${Math.floor(Date.now() / FRESH_MS)}`;
  }

  loaded() {
    show(this.picture, this.picture.naturalWidth > 1);
  }

  failed() {
    show(this.picture, false);
    this.nextAt = performance.now() + AGAIN_MS;
  }
}
