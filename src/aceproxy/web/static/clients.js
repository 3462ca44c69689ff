/** The clients of one stream: a table that can be sorted, shows fifty, and holds still while it is being used. */

import { agentLabel, agentName } from "./agents.js";
import { h, KeyedList, outside, setAttribute, setText, show } from "./dom.js";
import { count, rate, seconds, size, span } from "./format.js";
import { icon } from "./icons.js";
import { isLate, lagOf } from "./ring.js";
import { t } from "./texts.js";

const FEW = 50;
const COLUMNS = {
  agent: { value: (client) => client.agent.toLowerCase() },
  address: { value: (client) => client.address },
  connected: { value: (client) => client.connected_s, number: true },
  rate: { value: (client) => client.outbound_bps, number: true },
  sent: { value: (client) => client.sent_bytes, number: true },
  lag: { value: (client) => client.lag_bytes, number: true },
  skips: { value: (client) => client.skips, number: true },
};

/** The name of the token that a client plays with; only admins are told. */
export function tokenBadge(client) {
  return client.token_name ? h("span", { class: "token-badge", title: t.withToken }, icon("key"), outside("", client.token_name)) : null;
}

class ClientRow {
  constructor(client, kick) {
    const cell = (column, ...content) =>
      h(
        "td",
        { role: "cell", class: `cell-${column}${COLUMNS[column].number ? " number" : ""}`, "data-label": t.columns[column] },
        ...content,
      );
    const name = agentName(client.agent);
    this.connected = h("span");
    this.rate = h("span");
    this.sent = h("span");
    this.lag = h("span");
    this.behind = h("span", { class: "behind", text: t.behind });
    this.skips = h("span");
    const button = h(
      "button",
      {
        type: "button",
        class: "icon-button kick",
        "aria-label": t.kickOne(`${name}, ${client.address}`),
        title: t.kick,
        onclick: () => kick(client.client_id, `${name} · ${client.address}`),
      },
      icon("cross"),
    );
    this.root = h(
      "tr",
      { role: "row" },
      cell("agent", agentLabel(client.agent), tokenBadge(client)),
      cell("address", outside("", client.address)),
      cell("connected", this.connected),
      cell("rate", this.rate),
      cell("sent", this.sent),
      cell("lag", this.lag, " ", this.behind),
      cell("skips", this.skips),
      h("td", { role: "cell", class: "cell-kick" }, button),
    );
  }

  update([client, stream]) {
    setText(this.connected, span(client.connected_s));
    setText(this.rate, rate(client.outbound_bps));
    setText(this.sent, size(client.sent_bytes));
    const lag = lagOf(client, stream.bitrate_bps);
    setText(this.lag, lag === null ? size(client.lag_bytes) : seconds(lag));
    show(this.behind, isLate(client, stream));
    setText(this.skips, count(client.skips));
    setAttribute(this.skips, "class", client.skips ? "some" : null);
  }
}

export class Clients {
  /** `kick(clientId, name)` is called when the user wants to disconnect one. */
  constructor(kick) {
    this.sort = { column: null, sign: 1 };
    this.all = false;
    this.stream = null;
    this.order = [];
    this.heads = {};
    this.body = h("tbody", { role: "rowgroup" });
    this.list = new KeyedList(this.body, ([client]) => client.client_id, ([client]) => new ClientRow(client, kick));
    this.table = h(
      "table",
      { class: "clients", role: "table" },
      h(
        "thead",
        { role: "rowgroup" },
        h("tr", { role: "row" }, ...Object.keys(COLUMNS).map((column) => this.head(column)), h("td", { role: "cell" })),
      ),
      this.body,
    );
    this.scroll = h("div", { class: "clients-scroll", tabindex: "-1" }, this.table);
    this.none = h("p", { class: "quiet" });
    this.more = h("button", { type: "button", class: "button quiet-button", onclick: () => this.toggleAll() });
    this.shown = h("span", { class: "quiet" });
    this.foot = h("p", { class: "clients-foot" }, this.shown, this.more);
    this.root = h("div", { class: "clients-box" }, this.none, this.scroll, this.foot);
  }

  head(column) {
    const words = t.columns[column];
    const button = h("button", { type: "button", title: t.sortBy(words), text: words, onclick: () => this.sortBy(column) });
    this.heads[column] = h(
      "th",
      { role: "columnheader", scope: "col", class: COLUMNS[column].number ? "number" : null },
      button,
    );
    return this.heads[column];
  }

  sortBy(column) {
    const first = COLUMNS[column].number ? -1 : 1; // of numbers the largest are the interesting ones
    if (this.sort.column !== column) this.sort = { column, sign: first };
    else if (this.sort.sign === first) this.sort.sign = -first;
    else this.sort = { column: null, sign: 1 };
    for (const [name, head] of Object.entries(this.heads)) {
      const sorted = name === this.sort.column;
      setAttribute(head, "aria-sort", sorted ? (this.sort.sign > 0 ? "ascending" : "descending") : null);
    }
    this.update(this.stream, { reorder: true });
  }

  toggleAll() {
    this.all = !this.all;
    this.update(this.stream, { reorder: true });
  }

  /** Show the clients of a stream. Rows keep their place while the pointer or the focus is in the table. */
  update(stream, { reorder = !this.body.matches(":hover, :focus-within") } = {}) {
    this.stream = stream;
    const clients = stream.clients;
    this.order = reorder ? this.sorted(clients) : this.held(clients);
    const visible = this.all ? this.order : this.order.slice(0, FEW);
    this.list.update(visible.map((client) => [client, stream]));
    show(this.scroll, clients.length > 0);
    show(this.none, clients.length === 0);
    setText(this.none, stream.waiting ? t.noClientsWaiting(count(stream.waiting)) : t.noClients);
    show(this.foot, clients.length > FEW);
    setText(this.shown, t.showing(count(visible.length), count(clients.length)));
    setText(this.more, this.all ? t.showFewer(FEW) : t.showAll(count(clients.length)));
  }

  sorted(clients) {
    const { column, sign } = this.sort;
    if (column === null) return clients;
    const value = COLUMNS[column].value;
    return [...clients].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      return sign * (x < y ? -1 : x > y ? 1 : 0);
    });
  }

  held(clients) {
    const now = new Map(clients.map((client) => [client.client_id, client]));
    const stay = this.order.filter((client) => now.has(client.client_id)).map((client) => now.get(client.client_id));
    const before = new Set(stay.map((client) => client.client_id));
    return [...stay, ...clients.filter((client) => !before.has(client.client_id))];
  }
}
