/** A few clients of a stream in one line each, those first that need looking at: who watches, and how well. */

import { agentLabel } from "./agents.js";
import { tokenBadge } from "./clients.js";
import { h, KeyedList, outside, setAttribute, setText, show } from "./dom.js";
import { count, NOTHING, rate, seconds } from "./format.js";
import { isLate, lagOf } from "./ring.js";
import { t } from "./texts.js";

class FewRow {
  constructor(client) {
    this.rate = h("span", { class: "few-rate" });
    this.lag = h("span", { class: "few-lag" });
    this.skips = h("span", { class: "few-skips some" });
    this.root = h(
      "li",
      { class: "few-client" },
      h("span", { class: "few-who" }, agentLabel(client.agent), tokenBadge(client), outside("quiet", client.address)),
      this.skips,
      this.rate,
      this.lag,
    );
  }

  update([client, stream]) {
    setText(this.rate, rate(client.outbound_bps));
    const lag = lagOf(client, stream.bitrate_bps);
    setText(this.lag, lag === null ? NOTHING : t.lagOf(seconds(lag)));
    setAttribute(this.lag, "class", isLate(client, stream) ? "few-lag some" : "few-lag");
    setText(this.skips, client.skips ? t.pastSkips(count(client.skips)) : "");
  }
}

export class FewClients {
  /** `page`: the address of the stream's page, where all of them are. */
  constructor(page) {
    const list = h("ul", { class: "few-list", "aria-label": t.figures.clients });
    this.list = new KeyedList(list, ([client]) => client.client_id, ([client]) => new FewRow(client));
    this.more = h("a", { class: "few-more", href: page });
    this.root = h("div", { class: "few", hidden: true }, list, this.more);
  }

  update(stream) {
    const clients = stream.clients ?? [];
    show(this.root, clients.length > 0);
    this.list.update(clients.map((client) => [client, stream]));
    const rest = stream.client_count - clients.length;
    show(this.more, rest > 0);
    setText(this.more, t.moreClients(count(rest)));
  }
}
