/** The dashboard: its pages, and the feed that fills the one that is shown. */

import { get } from "./api.js";
import { ContactBanner } from "./contact.js";
import { setAttribute, setText } from "./dom.js";
import { learnEngines } from "./engine_names.js";
import { Feed } from "./feed.js";
import { Record } from "./record.js";
import { Router } from "./router.js";
import { session } from "./session.js";
import { Shell } from "./shell.js";
import { t, translatePage } from "./texts.js";
import { AccessView } from "./views/access_view.js";
import { EnginesView } from "./views/engines_view.js";
import { HistoryView } from "./views/history_view.js";
import { LinksView } from "./views/links_view.js";
import { LogView } from "./views/log_view.js";
import { OverviewView } from "./views/overview_view.js";
import { SettingsView } from "./views/settings_view.js";
import { StreamView } from "./views/stream_view.js";

const RECENT_EVERY_MS = 15000;
const byId = (id) => document.getElementById(id);

class Dashboard {
  constructor() {
    this.main = byId("main");
    this.record = new Record();
    this.known = {}; // the newest of each part that the feed has told
    this.recentAt = -Infinity;
    this.listed = "";
    this.shell = new Shell();
    this.banner = new ContactBanner(byId("banner"), () => this.feed.wake());
    this.feed = new Feed({
      overview: (news) => this.take(news),
      stream: (stream) => this.views.stream.updateStream(stream),
      good: () => this.good(),
      partial: (message) => this.good(message),
      lost: (error) => this.lost(error),
      waiting: (ms) => this.banner.waiting(ms),
      refused: () => this.refused(),
    });
    const changed = () => this.feed.wake();
    const follow = (streamId) => this.feed.follow(streamId);
    this.views = {
      overview: new OverviewView({ record: this.record, changed }),
      stream: new StreamView({ record: this.record, follow, changed }),
      engines: new EnginesView({ changed }),
      history: new HistoryView(),
      links: new LinksView(),
      log: new LogView(),
      settings: new SettingsView(),
      access: new AccessView(),
    };
    this.shown = null;
    this.router = new Router(Object.keys(this.views), (name, argument) => this.show(name, argument));
  }

  async start() {
    session.listen(() => this.shell.showSession(session));
    try {
      await session.load();
    } catch {
      // the feed will say that nothing answers; the session is asked for again when something does
    }
    this.router.start();
    this.feed.start();
  }

  show(name, argument) {
    const view = this.views[name];
    const first = this.shown === null;
    this.shown?.leave();
    this.shown = view;
    this.main.replaceChildren(view.root);
    this.shell.showPage(name);
    view.enter(argument);
    view.update(this.known);
    if (!first) {
      this.main.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
  }

  take(news) {
    for (const [name, value] of Object.entries(news)) if (value !== undefined) this.known[name] = value;
    if (news.engines) learnEngines(news.engines);
    if (news.health) this.shell.showHealth(news.health);
    else this.shell.showEngines(news.engines ?? [], news.stats);
    const at = news.at ? Date.parse(news.at) / 1000 : undefined; // by the server's clock the rates are exact
    if (news.stats) {
      this.record.pushStats(news.stats, at);
      document.title = t.title(news.stats.total_clients ?? 0);
    }
    if (news.streams) this.record.pushStreams(news.streams, at);
    this.shown?.update(this.known);
    setAttribute(this.main, "aria-busy", null);
    if (news.recent === undefined) this.refreshRecent(news.streams ?? []);
  }

  /** Events do not tell what ended lately: ask when a stream has gone, and now and then. */
  async refreshRecent(streams) {
    const listed = streams.map((stream) => stream.stream_id).join();
    const now = performance.now();
    if (listed === this.listed && now - this.recentAt < RECENT_EVERY_MS) return;
    this.listed = listed;
    this.recentAt = now;
    try {
      const [{ recent }, health] = await Promise.all([
        get("api/aceproxy/streams?clients=0"),
        this.known.health ? null : get("api/health", { anyStatus: true }),
      ]);
      this.known.recent = recent ?? [];
      if (health) this.known.health = health;
      if (this.known.health) this.shell.showVersion(this.known.health.version);
      this.shown?.update({ recent: this.known.recent });
    } catch {
      // the next round asks again; the feed tells if the server is gone
    }
  }

  good(problem = "") {
    if (problem) this.banner.partial(problem);
    else this.banner.good();
    this.shell.showContact(true);
    if (session.role === null && !this.asking) this.askSession();
  }

  /** The server answers, and we do not know who we are to it. */
  async askSession() {
    this.asking = true;
    await session.load().catch(() => {});
    setTimeout(() => {
      this.asking = false;
    }, RECENT_EVERY_MS);
  }

  lost(error) {
    this.shell.showContact(false);
    this.banner.lost(error.message);
    document.title = t.titleLost;
  }

  /** A stranger: nothing is shown but the way in. */
  refused() {
    this.shell.showContact(true);
    setText(byId("health"), "");
    setAttribute(this.main, "aria-busy", null);
    if (this.shown !== this.views.access) location.hash = "#/access";
  }
}

translatePage();
new Dashboard().start();
