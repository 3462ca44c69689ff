/** The time line of a stream: what happened, when, and whose fault it was; newest first. */

import { agentName } from "./agents.js";
import { get, streamPath } from "./api.js";
import { h, KeyedList, outside, setAttribute, setText, show } from "./dom.js";
import { engineName, hiddenAddress } from "./engine_names.js";
import { faultBadge } from "./faults.js";
import { seconds, shortId, size, span, timeOfDay } from "./format.js";
import { detailWords } from "./server_words.js";
import { reasonWords, t } from "./texts.js";

const MOST = 200;
const ASK_EVERY_MS = 3000;
const BRIEF_S = 10; // below that tenths of a second count
const LONG = /^[0-9a-f]{12,}$/;

const SAID = ["detail", "message"]; // by the server, in its own words
const NOTHING_AT_ZERO = ["overlap_s", "skipped_bytes", "gap_s", "behind_s", "skips"]; // as it should be
const ENGINES = ["engine", "from_engine"]; // told by their addresses
/** Tries: one that goes as one before is counted with that one, as long as nothing else happens (but to clients). */
const TRIES = ["engine_chosen", "not_yet", "engine_failed", "reopen_failed", "trying_beside", "standby_lost"];
const OF_CLIENTS = ["deserted", "revisited", "client_joined", "client_skipped", "client_left"];

/** A stall that was as those before it takes their place when it is over. */
const STALLS = ["stall_began", "stall_ended"];

/** The number of the newest event that cannot change or go any more; `events` begin with the newest. */
function settled(events) {
  let after = events[0]?.seq ?? 0;
  for (const event of events) {
    if (TRIES.includes(event.kind) || STALLS.includes(event.kind)) after = event.seq - 1;
    else if (!OF_CLIENTS.includes(event.kind)) break;
  }
  return after;
}

function wordsOf([name, value], event) {
  const label = t.eventDetails[name] ?? name.replaceAll("_", " ");
  if (t.eventValues[name]) return `${label} ${t.eventValues[name][value] ?? value}`;
  if (name === "until_s") return `${label} ${timeOfDay(new Date(Date.parse(event.at) + (value - event.after_s) * 1000).toISOString())}`;
  if (name === "times") return `${value} ${label}`;
  if (name === "progress") return `${label} ${value} %`;
  if (name.endsWith("_bytes")) return `${label} ${size(value)}`;
  if (name.endsWith("_s") && typeof value === "number") return `${label} ${value < BRIEF_S ? seconds(value) : span(Math.round(value))}`;
  if (ENGINES.includes(name)) return `${label} ${engineName(String(value))}`;
  if (name === "agent") return agentName(String(value));
  if (SAID.includes(name)) return `${label} ${detailWords(String(value))}`;
  return `${label} ${typeof value === "string" && LONG.test(value) ? shortId(value) : value}`;
}

function detailsOf(event) {
  const tells = ([name, value]) => value !== null && value !== "" && (value !== 0 || !NOTHING_AT_ZERO.includes(name));
  return Object.entries(event.details ?? {}).filter(tells);
}

function row(event) {
  const words = t.eventKinds[event.kind] ?? event.message;
  const told = outside();
  const root = h(
    "li",
    { class: "event", "data-fault": event.fault, "data-kind": event.kind },
    h("time", { datetime: event.at, title: event.at, text: timeOfDay(event.at) }),
    h(
      "div",
      {},
      h(
        "p",
        { class: "event-words" },
        words,
        event.reason && h("span", { class: "event-reason", title: event.reason, text: reasonWords(event.reason) }),
        faultBadge(event.fault, event.reason),
      ),
      detailsOf(event).length > 0 && h("p", { class: "event-details" }, told),
    ),
  );
  return {
    root,
    /** Show its details: a try may have been counted since, and what engines are called may be heard of later. */
    update(now) {
      const details = detailsOf(now);
      const addresses = details.map(([name, value]) => (ENGINES.includes(name) ? hiddenAddress(String(value)) : null));
      setText(told, details.map((detail) => wordsOf(detail, now)).join(" · "));
      setAttribute(told, "title", addresses.filter(Boolean).join(" · ") || null);
    },
  };
}

export class EventList {
  constructor() {
    this.list = h("ol", { class: "events", tabindex: "0", "aria-label": t.timeline }); // a long one is scrolled by keys
    this.rows = new KeyedList(this.list, (event) => event.seq, row);
    this.none = h("p", { class: "quiet", text: t.eventsNone });
    this.more = h("p", { class: "quiet small", hidden: true });
    this.root = h("div", { class: "events-box" }, this.list, this.more, this.none);
    this.streamId = null;
    this.events = new Map();
    this.askedAt = -Infinity;
  }

  /** Show another stream's events. */
  follow(streamId) {
    this.streamId = streamId;
    this.events = new Map();
    this.askedAt = -Infinity; // not 0: the page may have been opened a moment ago
    this.draw(0);
    show(this.none, false); // it is not known yet
  }

  /** Ask for what is new, at most every few seconds. Resolves when it is shown; where there is nothing, quietly. */
  async refresh() {
    const now = performance.now();
    if (this.streamId === null || now - this.askedAt < ASK_EVERY_MS) return;
    this.askedAt = now;
    const streamId = this.streamId;
    const after = settled(this.newestFirst());
    let answer;
    try {
      answer = await get(`${streamPath(streamId)}/timeline?after=${after}`);
    } catch {
      return; // the stream has no time line any more: what is known stays
    }
    if (streamId !== this.streamId) return;
    for (const seq of this.events.keys()) if (seq > after) this.events.delete(seq); // what is still there comes again
    for (const event of answer.events ?? []) this.events.set(event.seq, event);
    for (const event of this.newestFirst().slice(MOST)) this.events.delete(event.seq);
    this.draw(answer.forgotten ?? 0);
  }

  newestFirst() {
    return [...this.events.values()].sort((a, b) => b.seq - a.seq);
  }

  draw(forgotten) {
    const events = this.newestFirst();
    this.rows.update(events);
    show(this.none, events.length === 0);
    show(this.more, forgotten > 0);
    if (forgotten) setText(this.more, t.eventsForgotten(forgotten));
  }
}
