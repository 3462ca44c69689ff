/** The figures below the picture: what arrives, what is shown, how far behind, and who else watches. */

import { h, setText, show } from "./dom.js";
import { count, NOTHING, rate, seconds } from "./format.js";
import { t } from "./texts.js";

const OF_BROADCASTS = ["lag", "ahead", "bitrate", "viewers", "swarm"];
const NAMES = ["picture", "sound", "lag", "ahead", "bitrate", "lost", "viewers", "swarm", "player"];

export class WatchFigures {
  constructor(video) {
    this.video = video;
    this.values = {};
    this.stream = null;
    this.shown = { frames: 0, at: performance.now(), fps: null };
    const items = NAMES.map((name) => {
      this.values[name] = h("dd", { text: NOTHING });
      return h("div", { class: `fact fact-${name}` }, h("dt", { text: t.watch.figures[name] }), this.values[name]);
    });
    this.root = h("dl", { class: "facts" }, ...items);
  }

  /** Show what a recording has. */
  forFile() {
    for (const name of OF_BROADCASTS) show(this.values[name].parentElement, false);
  }

  /** The newest second that the browser holds, null while there is none. */
  end() {
    const held = this.video.buffered;
    return held.length ? held.end(held.length - 1) : null;
  }

  /** Seconds between what is shown and the newest that is held. */
  lag() {
    const end = this.end();
    return end === null ? null : Math.max(0, end - this.video.currentTime);
  }

  showStream(stream) {
    this.stream = stream;
    const codecs = stream?.codecs ?? [];
    const names = (kind) =>
      codecs.filter((one) => one.kind === kind && one.codec).map((one) => [t.codecs[one.codec] ?? one.codec, one.language].filter(Boolean).join(" "));
    this.videoName = names("video")[0] ?? "";
    setText(this.values.sound, [...new Set(names("audio"))].join(", ") || NOTHING);
    setText(this.values.bitrate, rate(stream?.bitrate_bps ?? stream?.inbound_bps));
    setText(this.values.viewers, count(stream?.viewers));
    const stat = stream?.engine_stat ?? {};
    const peers = Number.isFinite(stat.peers) ? `${count(stat.peers)} ${t.peers(stat.peers)}` : NOTHING;
    setText(this.values.swarm, peers);
  }

  tick(playerName) {
    const { videoWidth: width, videoHeight: height } = this.video;
    const quality = this.video.getVideoPlaybackQuality?.();
    const now = performance.now();
    if (quality && now - this.shown.at > 2000) {
      const fps = ((quality.totalVideoFrames - this.shown.frames) * 1000) / (now - this.shown.at);
      this.shown = { frames: quality.totalVideoFrames, at: now, fps: fps > 0 ? Math.round(fps) : null };
    }
    const parts = [width ? `${width} × ${height}` : "", this.shown.fps ? t.watch.fps(this.shown.fps) : "", this.videoName];
    setText(this.values.picture, parts.filter(Boolean).join(" · ") || NOTHING);
    const lag = this.lag();
    setText(this.values.lag, lag === null ? NOTHING : t.watch.behind(seconds(lag)));
    setText(this.values.ahead, this.stream ? seconds(this.stream.buffer_s) : NOTHING);
    const dropped = quality?.totalVideoFrames ? t.watch.dropped(count(quality.droppedVideoFrames), count(quality.totalVideoFrames)) : NOTHING;
    setText(this.values.lost, dropped);
    setText(this.values.player, playerName || NOTHING);
  }
}
