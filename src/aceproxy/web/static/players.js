/**
 * The three ways in which a browser plays a stream. Each `play…` resolves to a running player, `{ name, stop() }`, and
 * calls `failed({ kind, detail })` at most once when it cannot go on: `kind` is "http", "network", "media", "ended", or
 * "recording" where it is a file and no broadcast.
 */

import { KEEP_BEHIND_S, startHls } from "./hls_player.js";
import { liveLoader } from "./live_loader.js";
import { playSource } from "./native_player.js";
import { once } from "./once.js";
import { leaveOutSound } from "./ts_file.js";
import { library } from "./vendor.js";

/** Which ways this browser has: some of "ts", "hls" and "native". */
export function ways(video) {
  const sources = window.MediaSource ?? window.ManagedMediaSource;
  const native = video.canPlayType("application/vnd.apple.mpegurl") !== "";
  return { ts: Boolean(sources), hls: Boolean(sources) || native, native };
}

/**
 * MPEG-TS by mpegts.js, which plays nothing of a broadcast whose sound the browser cannot decode.
 */
export async function playTs(video, address, { failed }) {
  const mpegts = await library("mpegts");
  mpegts.LoggingControl.enableAll = false;
  const tellOnce = once(failed);
  const tell = (fault) => setTimeout(tellOnce, 0, fault); // it must not be taken down while it still tells of a fault
  const player = mpegts.createPlayer(
    { type: "mpegts", isLive: true, url: address },
    {
      enableWorker: false, // it would want a worker from a blob, which the page's policy does not allow
      enableStashBuffer: false,
      lazyLoad: false, // never stop reading: the server would take it for a player that hangs
      autoCleanupSourceBuffer: true,
      autoCleanupMaxBackwardDuration: KEEP_BEHIND_S * 2,
      autoCleanupMinBackwardDuration: KEEP_BEHIND_S,
      fixAudioTimestampGap: false,
      customLoader: liveLoader(mpegts, () => tell({ kind: "recording", detail: "" })),
    },
  );
  player.on(mpegts.Events.ERROR, (type, detail) => {
    if (detail === mpegts.ErrorDetails.NETWORK_STATUS_CODE_INVALID) tell({ kind: "http", detail });
    else if (type === mpegts.ErrorTypes.NETWORK_ERROR) tell({ kind: "network", detail });
    else tell({ kind: "media", detail });
  });
  player.on(mpegts.Events.LOADING_COMPLETE, () => tell({ kind: "ended", detail: "" }));
  player.attachMediaElement(video);
  player.load();
  return { name: "mpegts.js", stop: () => player.destroy() };
}

/** HLS by hls.js, without the sound of the codecs named in `without`. */
export async function playHls(video, address, { failed, without = [] }) {
  const settingsFor = (Hls) => ({
    lowLatencyMode: false,
    ...(without.length ? { fLoader: loaderWithout(Hls.DefaultConfig.loader, without) } : {}),
  });
  return startHls(video, address, { failed, settingsFor });
}

/** A loader of hls.js that takes the sound of some codecs out of what it loads. */
const loaderWithout = (Loader, codecs) =>
  class extends Loader {
    load(context, config, callbacks) {
      const onSuccess = (response, ...more) => {
        leaveOutSound(new Uint8Array(response.data), codecs);
        callbacks.onSuccess(response, ...more);
      };
      super.load(context, config, { ...callbacks, onSuccess });
    }
  };

/** HLS by the browser itself. */
export async function playNative(video, address, { failed }) {
  const tell = once(failed);
  const fault = () => tell({ kind: video.error?.code === 2 ? "network" : "media", detail: video.error?.message ?? "" });
  const end = () => tell({ kind: "ended", detail: "" });
  return { name: "", stop: playSource(video, address, { error: fault, ended: end }) };
}
