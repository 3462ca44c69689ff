/** The banner that appears when AceProxy itself does not answer, or when a part of its API fails. */

import { h, setText, show } from "./dom.js";
import { span } from "./format.js";
import { t } from "./texts.js";

export class ContactBanner {
  /** `retry()` is called by the "Try now" button. */
  constructor(root, retry) {
    this.title = h("strong");
    this.detail = h("span", { class: "banner-detail" });
    this.next = h("span", { class: "banner-next" });
    this.button = h("button", { type: "button", class: "button", text: t.retryNow, onclick: () => this.tryNow(retry) });
    this.box = h(
      "div",
      { class: "banner", hidden: true },
      h("p", { role: "alert" }, this.title, " ", this.detail),
      h("p", { class: "banner-side" }, this.next, this.button),
    );
    root.append(this.box);
    this.goodAt = null;
    this.nextAt = 0;
    this.clock = 0;
  }

  /** Everything answered. */
  good() {
    this.goodAt = performance.now();
    show(this.box, false);
    clearInterval(this.clock);
    this.clock = 0;
  }

  /** Nothing answered, for the reason `why`. */
  lost(why) {
    const age = this.goodAt === null ? "" : span((performance.now() - this.goodAt) / 1000);
    this.box.dataset.kind = "lost";
    setText(this.title, t.lost);
    setText(this.detail, t.lostDetail(why, age));
    show(this.next, true);
    show(this.button, true);
    show(this.box, true);
  }

  /** Some calls answered, others failed with `why`. */
  partial(why) {
    this.good();
    this.box.dataset.kind = "partial";
    setText(this.title, t.partial);
    setText(this.detail, why);
    show(this.next, false);
    show(this.button, false);
    show(this.box, true);
  }

  /** The next try is `waitMs` away. */
  waiting(waitMs) {
    this.nextAt = performance.now() + waitMs;
    this.tick();
    if (!this.clock) this.clock = setInterval(() => this.tick(), 500);
  }

  tick() {
    const left = Math.ceil((this.nextAt - performance.now()) / 1000);
    setText(this.next, left > 0 ? t.retryIn(left) : t.retrying);
  }

  tryNow(retry) {
    this.nextAt = 0;
    this.tick();
    retry();
  }
}
