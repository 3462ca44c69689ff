/** The dashboard: builds the parts of the page, and feeds them with one batch of API calls a second. */

import { get } from "./api.js";
import { ContactBanner } from "./contact.js";
import { setAttribute } from "./dom.js";
import { EndedStreams } from "./ended.js";
import { Engines } from "./engines.js";
import { Logs } from "./logs.js";
import { Overview } from "./overview.js";
import { PlayBox } from "./play.js";
import { Poller } from "./poller.js";
import { Streams } from "./streams.js";
import { t, translatePage } from "./texts.js";

const PERIOD_MS = 1000;
const byId = (id) => document.getElementById(id);

class Dashboard {
  constructor() {
    this.logs = new Logs(byId("logs"));
    const showLog = (streamId) => this.logs.showStream(streamId);
    this.overview = new Overview();
    this.engines = new Engines(byId("engines"));
    this.ended = new EndedStreams(byId("ended"), showLog);
    this.streams = new Streams({ changed: () => this.poller.wake(), showLog });
    this.play = new PlayBox(byId("play"), (key) => this.streams.find(key));
    this.poller = new Poller({
      periodMs: PERIOD_MS,
      poll: () => this.poll(),
      onWait: (waitMs) => this.banner.waiting(waitMs),
    });
    this.banner = new ContactBanner(byId("banner"), () => this.poller.wake());
  }

  start() {
    this.poller.start();
    this.logs.start();
  }

  /** One batch. Throws only if nothing could be reached: then the poller slows down. */
  async poll() {
    const [health, stats, streams] = await Promise.allSettled([
      get("api/health", { anyStatus: true }),
      get("api/aceproxy/stats"),
      get("api/aceproxy/streams"),
    ]);
    const failed = [health, stats, streams].filter((one) => one.status === "rejected").map((one) => one.reason);
    if (failed.length === 3 && failed.every((error) => error.kind === "unreachable")) {
      this.overview.showContact(false);
      this.banner.lost(failed[0].message);
      throw failed[0];
    }
    this.overview.showContact(true);
    if (failed.length) this.banner.partial(failed[0].message);
    else this.banner.good();
    if (health.value) this.showHealth(health.value);
    if (stats.value) this.overview.showStats(stats.value);
    if (streams.value) this.showStreams(streams.value);
    setAttribute(byId("main"), "aria-busy", null);
  }

  showHealth(health) {
    this.overview.showHealth(health);
    this.engines.update(health.engines ?? []);
    this.streams.showHealth(health.status);
  }

  showStreams({ streams = [], recent = [] }) {
    this.streams.update(streams);
    this.ended.update(recent);
    this.play.update();
    this.logs.nameStreams([...recent, ...streams].map((stream) => [stream.stream_id, stream.title]));
  }
}

translatePage();
new Dashboard().start();
