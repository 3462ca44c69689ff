/** The same stream elsewhere: addresses to copy, a QR code to point a phone at, and a file that opens in a player. */

import { hlsUrl, playUrl, watchUrl, withQuery } from "./api.js";
import { h, setAttribute, setText, show } from "./dom.js";
import { copyButton } from "./feedback.js";
import { icon } from "./icons.js";
import { t } from "./texts.js";

const LOCAL = /^(localhost|127\.|\[::1\]|::1)/;
const FORMS = { watch: watchUrl, ts: playUrl, hls: hlsUrl };

/** Addresses that open an installed VLC from a telephone's browser; null where a file does it. */
function appAddress(address) {
  const agent = navigator.userAgent;
  if (/Android/.test(agent)) {
    const { protocol, host, pathname, search } = new URL(address);
    const scheme = protocol.replace(":", "");
    return `intent://${host}${pathname}${search}#Intent;scheme=${scheme};type=video/*;package=org.videolan.vlc;end`;
  }
  if (/iPhone|iPad/.test(agent)) return `vlc-x-callback://x-callback-url/stream?url=${encodeURIComponent(address)}`;
  return null;
}

export class Devices {
  constructor(root, link) {
    this.link = link;
    this.form = "watch";
    this.choices = [];
    this.code = h("img", { class: "qr", width: 180, height: 180, alt: "" });
    this.code.addEventListener("error", () => show(this.code, false)); // an address too long for a code
    this.lead = h("p", { class: "quiet" });
    this.address = h("output", { class: "play-address", tabindex: "0", "aria-label": t.streamAddress });
    const copy = copyButton({ label: t.copyAddress, textOf: () => this.address.textContent, className: "button primary" });
    const choice = h("fieldset", { class: "segments" }, h("legend", { class: "off-screen", text: t.watch.addressOf }));
    for (const [form, words] of Object.entries(t.watch.forms)) {
      const input = h("input", { type: "radio", name: "form", value: form, checked: form === this.form, onchange: () => this.choose(form) });
      this.choices.push(input);
      choice.append(h("label", {}, input, h("span", { text: words })));
    }
    const app = appAddress(playUrl(link.query));
    const file = withQuery("watch/play.m3u", link.query);
    root.append(
      choice,
      h("div", { class: "qr-box" }, this.code),
      this.lead,
      this.address,
      h(
        "div",
        { class: "device-buttons" },
        copy,
        app && h("a", { class: "button", href: app }, icon("open"), h("span", { text: t.watch.openVlc })),
        h("a", { class: "button", href: file, download: "" }, icon("open"), h("span", { text: t.watch.openFile })),
      ),
      h("p", { class: "quiet small", text: t.watch.fileHint }),
      LOCAL.test(location.hostname) && h("p", { class: "notice", text: t.watch.localOnly(location.hostname) }),
    );
    this.choose(this.form);
  }

  /** It is a recording, which is not played as HLS. */
  forFile() {
    if (this.form === "hls") this.choose("watch");
    const [choice] = this.choices.filter((input) => input.value === "hls");
    show(choice.parentElement, false);
    for (const input of this.choices) input.checked = input.value === this.form;
  }

  choose(form) {
    this.form = form;
    setText(this.address, FORMS[form](this.link.query));
    setText(this.lead, t.watch.leads[form]);
    show(this.code, true);
    setAttribute(this.code, "src", withQuery("watch/qr.svg", [["as", form], ...this.link.query]));
    setAttribute(this.code, "alt", t.watch.qr(t.watch.forms[form]));
  }
}
