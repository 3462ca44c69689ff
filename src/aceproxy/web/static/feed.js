/**
 * What is known of the server, kept fresh: by server-sent events where they can be had, else by asking once a second.
 *
 * Nothing is asked for while the tab is hidden. A connection that is lost is tried again after 1, 2, 4, 8, then every
 * 15 s. Where events are refused or do not come through (a proxy that holds them back), the feed asks instead, and
 * tries events again a minute later.
 */

import { get, streamPath, url } from "./api.js";

const PERIOD_MS = 1000;
const LONGEST_WAIT_MS = 15000;
const SILENCE_MS = 8000; // an open connection that says nothing for so long is held back by somebody
const EVENTS_AGAIN_MS = 60000;

export class Feed {
  /**
   * `hooks`: `overview({ stats, streams, engines, health, recent })` with the parts that are known, `stream(detail)` of
   * the followed one (null once it is gone), `good()`, `partial(message)`, `lost(error)`, `waiting(ms)`, `refused(error)`.
   */
  constructor(hooks) {
    this.hooks = hooks;
    this.followed = null;
    this.source = null;
    this.timer = 0;
    this.watchdog = 0;
    this.failures = 0;
    this.busy = false;
    this.again = false;
    this.eventsAfter = 0; // by performance.now(): no events are tried before
    this.stopped = true;
  }

  /** Begin, and from then on follow the tab's visibility. */
  start() {
    this.stopped = false;
    document.addEventListener("visibilitychange", () => this.wake());
    this.wake();
  }

  /** Follow one stream in detail, or none (null). */
  follow(streamId) {
    if (streamId === this.followed) return;
    this.followed = streamId;
    if (!this.stopped) this.wake();
  }

  /** Begin anew, at once: after a change, or because the user does not want to wait. */
  wake() {
    clearTimeout(this.timer);
    this.close();
    if (document.hidden || this.stopped) return;
    if (performance.now() >= this.eventsAfter && "EventSource" in window) this.listen();
    else this.ask();
  }

  /** End, for good: the page is left or the user signed out. */
  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    this.close();
  }

  close() {
    clearTimeout(this.watchdog);
    this.source?.close();
    this.source = null;
  }

  listen() {
    const query = this.followed ? `?stream=${encodeURIComponent(this.followed)}` : "";
    const source = new EventSource(url(`api/events${query}`));
    this.source = source;
    let heard = false;
    const on = (name, take) =>
      source.addEventListener(name, (event) => {
        if (source !== this.source) return;
        heard = true;
        this.watch();
        const value = parsed(event.data);
        if (value !== null) take(value);
      });
    on("overview", (value) => {
      this.failures = 0;
      this.hooks.good();
      this.hooks.overview(value);
    });
    on("stream", (value) => this.hooks.stream?.(value.stream ?? null));
    source.addEventListener("error", () => {
      if (source !== this.source) return;
      if (!heard) this.eventsAfter = performance.now() + EVENTS_AGAIN_MS;
      this.close();
      this.ask(); // it tells what is wrong, in words; where nothing is, it goes on in place of the events
    });
    this.watch();
  }

  watch() {
    clearTimeout(this.watchdog);
    this.watchdog = setTimeout(() => {
      this.close();
      this.eventsAfter = performance.now() + EVENTS_AGAIN_MS;
      this.ask();
    }, SILENCE_MS);
  }

  async ask() {
    if (this.busy) {
      this.again = true; // one batch at a time; the next one begins when this one is answered
      return;
    }
    this.busy = true;
    const beganAt = performance.now();
    const failure = await this.batch();
    this.busy = false;
    let waitMs = Math.max(PERIOD_MS / 5, PERIOD_MS - (performance.now() - beganAt));
    if (failure) {
      this.eventsAfter = 0; // nobody refused events: nobody is there
      this.failures += 1;
      waitMs = Math.min(1000 * 2 ** (this.failures - 1), LONGEST_WAIT_MS);
    }
    if (this.again) waitMs = 0;
    this.again = false;
    if (this.stopped || document.hidden || this.source) return;
    if (failure) this.hooks.waiting?.(waitMs);
    this.timer = setTimeout(() => this.wake(), waitMs);
  }

  /** Ask for everything once. Resolves to true if nothing could be reached. */
  async batch() {
    const followed = this.followed;
    const calls = [
      get("api/health", { anyStatus: true }),
      get("api/aceproxy/stats"),
      get("api/aceproxy/streams?clients=0"),
      followed ? get(streamPath(followed)) : null,
    ];
    const [health, stats, streams, detail] = await Promise.allSettled(calls);
    const failed = [health, stats, streams].filter((one) => one.status === "rejected").map((one) => one.reason);
    if (failed.length === 3 && failed.every((error) => error.kind === "unreachable")) {
      this.hooks.lost(failed[0]);
      return true;
    }
    this.failures = 0;
    const refusal = failed.find((error) => error.status === 401 || error.status === 403);
    if (refusal && this.hooks.refused) this.hooks.refused(refusal);
    else if (failed.length) this.hooks.partial(failed[0].message);
    else this.hooks.good();
    this.hooks.overview({
      health: health.value,
      engines: health.value?.engines,
      stats: stats.value,
      streams: streams.value?.streams,
      recent: streams.value?.recent,
    });
    if (followed && followed === this.followed) {
      if (detail.value?.stream) this.hooks.stream?.(detail.value.stream);
      else if (detail.reason?.status === 404) this.hooks.stream?.(null);
    }
    return false;
  }
}

function parsed(text) {
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}
