/**
 * The three ways in which a browser plays a stream. Each `play…` resolves to a running player, `{ name, stop() }`, and
 * calls `failed({ kind, detail })` at most once when it cannot go on: `kind` is "http", "network", "media" or "ended".
 */

import { hlsLibrary, library } from "./vendor.js";

const KEEP_BEHIND_S = 60; // of what was shown, so that a short way back is possible

/** Which ways this browser has: some of "ts", "hls" and "native". */
export function ways(video) {
  const sources = window.MediaSource ?? window.ManagedMediaSource;
  const native = video.canPlayType("application/vnd.apple.mpegurl") !== "";
  return { ts: Boolean(sources), hls: Boolean(sources) || native, native };
}

/**
 * MPEG-TS by mpegts.js. `sound` false leaves the sound out, where the browser cannot decode it; `begun()` is called when
 * there is something to play.
 */
export async function playTs(video, address, { sound, failed, begun }) {
  const mpegts = await library("mpegts");
  mpegts.LoggingControl.enableAll = false;
  const player = mpegts.createPlayer(
    { type: "mpegts", isLive: true, url: address, hasAudio: sound ? undefined : false },
    {
      enableWorker: false, // it would want a worker from a blob, which the page's policy does not allow
      enableStashBuffer: false,
      lazyLoad: false, // never stop reading: the server would take it for a player that hangs
      autoCleanupSourceBuffer: true,
      autoCleanupMaxBackwardDuration: KEEP_BEHIND_S * 2,
      autoCleanupMinBackwardDuration: KEEP_BEHIND_S,
      fixAudioTimestampGap: false,
    },
  );
  const tellOnce = once(failed);
  const tell = (fault) => setTimeout(tellOnce, 0, fault); // it must not be taken down while it still tells of a fault
  player.on(mpegts.Events.ERROR, (type, detail) => {
    if (detail === mpegts.ErrorDetails.NETWORK_STATUS_CODE_INVALID) tell({ kind: "http", detail });
    else if (type === mpegts.ErrorTypes.NETWORK_ERROR) tell({ kind: "network", detail });
    else tell({ kind: "media", detail });
  });
  player.on(mpegts.Events.MEDIA_INFO, once(begun));
  player.on(mpegts.Events.LOADING_COMPLETE, () => tell({ kind: "ended", detail: "" }));
  player.attachMediaElement(video);
  player.load();
  return { name: "mpegts.js", stop: () => player.destroy() };
}

/** HLS by hls.js. */
export async function playHls(video, address, { failed }) {
  const Hls = await hlsLibrary();
  const player = new Hls({ enableWorker: false, backBufferLength: KEEP_BEHIND_S, lowLatencyMode: false });
  const tell = once(failed);
  let mended = false;
  player.on(Hls.Events.ERROR, (_event, { fatal, type, details, response }) => {
    if (!fatal) return;
    if (type === Hls.ErrorTypes.MEDIA_ERROR && !mended) {
      mended = true;
      player.recoverMediaError();
    } else if (type === Hls.ErrorTypes.NETWORK_ERROR) {
      tell({ kind: response?.code >= 400 ? "http" : "network", detail: details });
    } else {
      tell({ kind: "media", detail: details });
    }
  });
  player.loadSource(address);
  player.attachMedia(video);
  return { name: "hls.js", stop: () => player.destroy() };
}

/** HLS by the browser itself. */
export async function playNative(video, address, { failed }) {
  const tell = once(failed);
  const fault = () => tell({ kind: video.error?.code === 2 ? "network" : "media", detail: video.error?.message ?? "" });
  const end = () => tell({ kind: "ended", detail: "" });
  video.addEventListener("error", fault);
  video.addEventListener("ended", end);
  video.src = address;
  return {
    name: "",
    stop: () => {
      video.removeEventListener("error", fault);
      video.removeEventListener("ended", end);
      video.removeAttribute("src");
      video.load();
    },
  };
}

function once(call) {
  let called = false;
  return (value) => {
    if (!called) call(value);
    called = true;
  };
}
