/** hls.js with one address: what lists of streams and of recordings have in common. */

import { once } from "./once.js";
import { hlsLibrary } from "./vendor.js";

export const KEEP_BEHIND_S = 60; // of what was shown, so that a short way back is possible

/**
 * Play a list. `settingsFor(Hls)` returns what is set beside the common settings. Resolves to a running player;
 * `failed({ kind, detail })` is called at most once, `kind` is "http", "network" or "media".
 */
export async function startHls(video, address, { failed, settingsFor }) {
  const Hls = await hlsLibrary();
  const player = new Hls({
    enableWorker: false, // it would want a worker from a blob, which the page's policy does not allow
    backBufferLength: KEEP_BEHIND_S,
    ...settingsFor(Hls),
  });
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
