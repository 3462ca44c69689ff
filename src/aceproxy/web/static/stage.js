/** The picture with its state in words: asking, waiting for the swarm, playing, stalled, failed; and what it is made of. */

import { get, hlsUrl, playUrl } from "./api.js";
import { choices } from "./choices.js";
import { h, outside, setAttribute, setText, show } from "./dom.js";
import { count, rate, seconds, shortId, since } from "./format.js";
import { icon } from "./icons.js";
import { judgeCodecs, silentCodecs } from "./playable.js";
import { playHls, playNative, playTs, ways } from "./players.js";
import { playRecording } from "./recording.js";
import { reasonWords, t } from "./texts.js";
import { WatchFigures } from "./watch_figures.js";

const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 15000;
const STEADY_S = 15; // after so long without a fault the next one is tried again at once
const FAR_BEHIND_S = 12;
const EDGE_S = 2; // how close to the newest picture "go live" leads
const TICK_MS = 500;
const LEFT_OUT_S = 2; // of a file; by then something of each kind was decoded
const HEAD_LIMIT_MS = 5000;
const JUST_ENDED_S = 30; // by two clocks, which may differ
const NO_AAC = new Set(["no_transcoder", "transcoders_busy", "transcoder_failed"]);

export class Stage {
  constructor(root, link) {
    this.link = link;
    this.stream = null;
    this.player = null;
    this.attempt = 0; // grows with every start; what an older one still says is not heard
    this.failures = 0;
    this.aac = "off"; // the sound as AAC: "off", "on" where the browser needs it, "none" where the server has none
    this.without = []; // codecs of sound that is left out
    this.steadyAt = 0;
    this.isFile = false; // a recording, in which one can go anywhere
    this.resumeAt = 0; // where in it to go on
    this.onFile = () => {};
    this.build(root);
    this.ways = ways(this.video);
    this.way = this.firstWay();
    this.showWays();
    setInterval(() => this.tick(), TICK_MS);
    addEventListener("pagehide", () => this.drop());
  }

  build(root) {
    this.title = h("h1", { id: "watch-title", class: "watch-title" }, outside("", shortId(this.link.query[0][1])));
    this.chip = h("span", { class: "chip" });
    this.video = h("video", { class: "screen", controls: true, playsinline: true, "aria-label": t.watch.screen });
    for (const name of ["playing", "waiting", "pause", "stalled"]) this.video.addEventListener(name, () => this.tick());
    this.words = h("p", { class: "curtain-words", role: "status" });
    this.detail = h("p", { class: "curtain-detail" }, outside());
    this.retry = h("button", { type: "button", class: "button primary", text: t.watch.retry, onclick: () => this.start() });
    this.spinner = h("span", { class: "spinner", "aria-hidden": "true" });
    this.curtain = h("div", { class: "curtain" }, this.spinner, this.words, this.detail, this.retry);
    this.unmute = h(
      "button",
      { type: "button", class: "button on-screen", hidden: true, onclick: () => this.soundOn() },
      icon("sound"),
      h("span", { text: t.watch.unmute }),
    );
    this.live = h("button", { type: "button", class: "button", text: t.watch.goLive, hidden: true, onclick: () => this.goLive() });
    this.notice = h("div", { class: "notice", role: "status", hidden: true });
    this.wayBox = h("fieldset", { class: "segments" }, h("legend", { text: t.watch.way }));
    this.figures = new WatchFigures(this.video);
    root.append(
      h("div", { class: "screen-box" }, this.video, this.curtain, this.unmute),
      h("div", { class: "watch-head" }, this.title, this.chip, this.live),
      this.notice,
      this.figures.root,
      this.wayBox,
    );
  }

  firstWay() {
    const there = Object.keys(t.watch.ways).filter((way) => this.ways[way]);
    const chosen = choices.get("way");
    return there.includes(chosen) ? chosen : (there[0] ?? null);
  }

  showWays() {
    for (const [way, words] of Object.entries(t.watch.ways)) {
      if (!this.ways[way]) continue;
      const input = h("input", { type: "radio", name: "way", value: way, checked: way === this.way, onchange: () => this.choose(way) });
      this.wayBox.append(h("label", {}, input, h("span", { text: words })));
    }
    show(this.wayBox, this.ways.ts && this.ways.hls);
  }

  choose(way) {
    choices.set("way", way);
    this.way = way;
    this.start();
  }

  /** What players are given: the link, and which sound. */
  query() {
    return this.aac === "on" ? [...this.link.query, ["audio", "aac"]] : this.link.query;
  }

  /** Have the server change the sound where this browser cannot decode it, as long as the server does not refuse. */
  wantAac(verdict) {
    if (this.aac !== "off" || this.way === null || verdict.video?.plays === "no") return false;
    if (!verdict.audio || verdict.audio.plays === "yes") return false;
    this.aac = "on";
    this.start();
    return true;
  }

  /** Begin, or begin anew. */
  async start() {
    this.drop();
    const attempt = ++this.attempt;
    if (this.way === null && !this.isFile) {
      this.close(t.watch.noWay, t.watch.openElsewhere, { again: false });
      return;
    }
    this.open(this.isFile ? t.watch.openingFile : t.watch.asking);
    const failed = (fault) => attempt === this.attempt && this.fail(fault, attempt);
    const query = this.query();
    try {
      const player = this.isFile
        ? await playRecording(this.video, playUrl(this.link.query), { startAt: this.resumeAt, failed })
        : this.way === "ts"
          ? await playTs(this.video, playUrl(query), { failed })
          : this.ways.native && !this.ways.ts
            ? await playNative(this.video, hlsUrl(query), { failed })
            : await playHls(this.video, hlsUrl(query), { failed, without: this.without });
      if (player === null) return; // it has said why
      if (attempt !== this.attempt) player.stop();
      else this.player = player;
    } catch {
      failed({ kind: "network", detail: "" }); // the player itself could not be loaded
      return;
    }
    if (this.isFile) this.showTracks(this.player?.codecs ?? []);
    this.run();
  }

  /** Take what a recording is made of, as far as that is known. */
  showTracks(codecs) {
    this.showNotice({ codecs });
    this.figures.showStream({ codecs });
  }

  /** Say what the browser leaves out of a file that nobody has looked into: what it has decoded tells. */
  showLeftOut() {
    const { video } = this;
    if (this.player?.codecs || video.currentTime < LEFT_OUT_S) return;
    const words = [];
    if (video.webkitVideoDecodedByteCount === 0) words.push(t.watch.noPictures);
    if (video.webkitAudioDecodedByteCount === 0 || video.mozHasAudio === false) words.push(t.watch.noSound);
    setText(this.notice, words.length ? [...words, t.watch.openElsewhere].join(" ") : "");
    show(this.notice, words.length > 0);
  }

  /** It is a recording: play it as a file from now on. */
  becomeFile() {
    this.isFile = true;
    show(this.wayBox, false);
    setText(this.chip, t.watch.recording);
    setAttribute(this.chip, "data-state", "live");
    this.figures.forFile();
    this.onFile();
    this.start();
  }

  /** Play with sound; where the browser wants a touch first, without, and offer the sound. */
  async run() {
    this.video.muted = false;
    try {
      await this.video.play();
    } catch (error) {
      if (error.name !== "NotAllowedError") return; // the player's own faults come by `failed`
      this.video.muted = true;
      show(this.unmute, true);
      await this.video.play().catch(() => {}); // refused as well: the controls have a button
    }
  }

  soundOn() {
    this.video.muted = false;
    show(this.unmute, false);
    this.video.focus();
  }

  goLive() {
    const end = this.figures.end();
    if (end !== null) this.video.currentTime = Math.max(this.video.currentTime, end - EDGE_S);
    this.run();
  }

  drop() {
    clearTimeout(this.retryTimer);
    if (this.isFile && this.player) this.resumeAt = this.video.currentTime;
    this.attempt += 1;
    this.player?.stop();
    this.player = null;
    this.steadyAt = 0;
  }

  async fail(fault, attempt) {
    const watched = this.steadyAt && performance.now() - this.steadyAt > STEADY_S * 1000;
    if (this.isFile && this.player) this.resumeAt = this.video.currentTime;
    this.player?.stop();
    this.player = null;
    if (fault.kind === "recording" || (!this.isFile && fault.kind !== "network" && (await this.isRecording()))) {
      if (attempt === this.attempt) this.becomeFile();
      return;
    }
    if (attempt !== this.attempt) return;
    if (fault.kind === "media" && this.isFile) {
      this.close(t.watch.cannotFile, t.watch.openElsewhere, { again: false });
      return;
    }
    if (fault.kind === "media") {
      this.failMedia(fault);
      return;
    }
    this.open(t.watch.reconnecting);
    const why = fault.kind === "ended" ? await this.ending() : await this.reason();
    if (attempt !== this.attempt) return;
    if (this.aac === "on" && NO_AAC.has(why?.reason)) {
      this.aac = "none";
      this.start();
      return;
    }
    if (why?.final) {
      this.close(t.watch.failed, why.message);
      return;
    }
    this.failures = watched ? 0 : this.failures + 1;
    const waitMs = Math.min(FIRST_RETRY_MS * 2 ** this.failures, LONGEST_RETRY_MS);
    this.open(t.watch.reconnecting, why?.message ?? "", true);
    this.retryTimer = setTimeout(() => this.start(), waitMs);
  }

  failMedia(fault) {
    const verdict = judgeCodecs(this.stream?.codecs ?? []);
    if (this.wantAac(verdict)) return;
    const isUnknown = !verdict.video && !verdict.audio; // who may only play is told nothing of the stream
    if (isUnknown && this.aac === "off") {
      this.aac = "on"; // costs nothing where the sound is AAC already
      this.start();
      return;
    }
    const isSound = verdict.video?.plays === "yes" && verdict.audio?.plays !== "yes";
    if (this.way === "ts" && this.ways.hls && (isUnknown || isSound)) {
      this.way = "hls"; // of which sound can be left out: the picture alone is better than nothing
      this.without = silentCodecs();
      for (const input of this.wayBox.querySelectorAll("input")) input.checked = input.value === this.way;
      this.start();
      return;
    }
    this.close(t.watch.cannot, this.cannotWords(verdict) || fault.detail);
  }

  cannotWords(verdict) {
    const name = (one) => t.codecs[one.codec] ?? one.codec;
    return verdict.video && verdict.video.plays !== "yes" ? t.watch.noVideo(name(verdict.video)) : "";
  }

  /** Whether the link is a file and no broadcast: then the server offers any part of it. */
  async isRecording() {
    try {
      const answer = await fetch(playUrl(this.link.query), { method: "HEAD", signal: AbortSignal.timeout(HEAD_LIMIT_MS) });
      return answer.headers.get("Accept-Ranges") === "bytes";
    } catch {
      return false;
    }
  }

  /** Why the stream ended, where the operator or the broadcast wanted it so: then it is not opened anew at once. */
  async ending() {
    try {
      const { recent = [] } = await get("api/aceproxy/streams?clients=0");
      const ended = recent.find((one) => one.stream_id === this.stream?.stream_id);
      const wanted = ended && ["stopped", "ended"].includes(ended.reason) && since(ended.ended_at) < JUST_ENDED_S;
      return wanted ? { message: reasonWords(ended.reason), final: true } : null;
    } catch {
      return null;
    }
  }

  /** Why the server refuses: ask as the player did, and let go at once if it does not refuse after all. */
  async reason() {
    try {
      const path = this.isFile || this.way === "ts" ? playUrl(this.query()) : hlsUrl(this.query());
      await get(path, { limitMs: 30000, headOnly: true });
      return null;
    } catch (error) {
      const final = error.kind === "refused" && error.status >= 400 && error.status < 500 && error.status !== 429;
      return { message: error.message, final, reason: error.reason };
    }
  }

  /** The curtain: something is under way. */
  open(words, detail = "", again = false) {
    show(this.curtain, true);
    show(this.spinner, true);
    setText(this.words, words);
    setText(this.detail.firstChild, detail);
    show(this.retry, again);
  }

  /** The curtain: this is the end, unless the user tries again. */
  close(words, detail, { again = true } = {}) {
    this.open(words, detail, again);
    show(this.spinner, false);
    setAttribute(this.chip, "data-state", "closed");
    setText(this.chip, t.states.closed);
    show(this.chip, true);
    show(this.unmute, false);
  }

  /** Take the stream as the server knows it; null while it does not. */
  showStream(stream) {
    if (this.isFile) return; // the stream that was begun for it is none
    this.stream = stream ?? this.stream;
    if (stream) {
      this.setTitle(stream.title || shortId(stream.stream_id));
      setText(this.chip, t.states[stream.state] ?? stream.state);
      setAttribute(this.chip, "data-state", stream.state);
      if (stream.state === "starting" && this.player) this.open(t.watch.asking, startWords(stream));
      this.showNotice(stream);
    }
    const isUnknown = !stream && this.chip.getAttribute("data-state") !== "closed";
    show(this.chip, !isUnknown); // what it was last says nothing of now
    this.figures.showStream(stream);
  }

  /** Show the name of what plays: outside text. */
  setTitle(name) {
    setText(this.title.firstChild, name);
    document.title = `${name} · AceProxy`;
  }

  showNotice(stream) {
    const verdict = judgeCodecs(stream.codecs ?? []);
    const name = (one) => t.codecs[one.codec] ?? one.codec;
    if (stream.is_active) this.wantAac(verdict);
    const lines = [];
    if (verdict.video?.plays === "no") lines.push(t.watch.noVideo(name(verdict.video)));
    const isHeard = !verdict.audio || verdict.audio.plays === "yes";
    if (this.aac === "on") lines.push(...(isHeard ? [] : [t.watch.asAac(name(verdict.audio))]));
    else if (verdict.audio?.plays === "no") lines.push(t.watch.noAudio(name(verdict.audio)));
    else if (verdict.audio?.plays === "maybe") lines.push(t.watch.maybeAudio(name(verdict.audio)));
    const isHelped = this.aac === "on" && verdict.video?.plays !== "no";
    const words = lines.length ? [...lines, ...(isHelped ? [] : [t.watch.openElsewhere])].join(" ") : "";
    if (this.notice.textContent !== words) setText(this.notice, words);
    show(this.notice, lines.length > 0);
  }

  tick() {
    const playing = this.player && this.video.readyState >= 3 && !this.video.paused;
    if (playing || (this.player && this.video.readyState >= 2 && this.video.paused)) show(this.curtain, false);
    else if (this.player && this.video.currentTime > 0 && !this.video.paused) this.open(t.watch.buffering);
    if (playing && !this.steadyAt) this.steadyAt = performance.now();
    this.figures.tick(this.player?.name ?? "");
    if (this.isFile && playing) this.showLeftOut();
    const lag = this.figures.lag();
    show(this.live, !this.isFile && lag !== null && lag > FAR_BEHIND_S);
  }
}

function startWords(stream) {
  const stat = stream.engine_stat ?? {};
  const parts = [
    stat.status === "prebuf" && Number.isFinite(stat.progress) ? t.starting.prebuffer(stat.progress) : "",
    Number.isFinite(stat.peers) ? `${count(stat.peers)} ${t.peers(stat.peers)}` : "",
    Number.isFinite(stat.speed_down_bps) ? rate(stat.speed_down_bps) : "",
  ];
  return parts.filter(Boolean).join(" · ") || t.watch.askingFor(seconds(stream.state_s));
}
