/**
 * Recordings: files that are read by ranges, so that one can go anywhere in them. What the browser knows as a file it
 * plays itself; a transport stream is cut into fragments here, and hls.js plays those.
 */

import { PartError, RemoteFile } from "./file_parts.js";
import { startHls } from "./hls_player.js";
import { playSource } from "./native_player.js";
import { fragmentsOf } from "./ts_fragments.js";

const LOOK_BYTES = 256 << 10;
const AHEAD_S = 30;

/**
 * Play a file from `startAt` (seconds) on. Resolves to `{ name, codecs, stop() }`; `codecs` as the API tells them of
 * streams, null where the file is not looked into. `failed({ kind, detail })` is called at most once when it cannot go
 * on: `kind` is "http", "network" or "media".
 */
export async function playRecording(video, address, { startAt, failed }) {
  const file = new RemoteFile(address);
  let fragments;
  try {
    fragments = await fragmentsOf(file, await file.read(0, LOOK_BYTES));
  } catch (error) {
    failed({ kind: error instanceof PartError ? error.kind : "network", detail: "" });
    return null;
  }
  if (fragments === null) return playFile(video, address, { startAt, failed });
  return playFragments(video, address, fragments, { startAt, failed });
}

/** By the browser itself. */
function playFile(video, address, { startAt, failed }) {
  const fault = () => failed({ kind: video.error?.code === MediaError.MEDIA_ERR_NETWORK ? "network" : "media", detail: "" });
  const ready = () => {
    if (startAt) video.currentTime = startAt;
  };
  return { name: "", codecs: null, stop: playSource(video, address, { error: fault, loadedmetadata: ready }) };
}

async function playFragments(video, address, fragments, { startAt, failed }) {
  const settingsFor = () => ({
    maxBufferLength: AHEAD_S,
    startPosition: startAt || 0,
    pLoader: listLoader(fragments.list(address)),
    fLoader: fragmentLoader(fragments),
  });
  const player = await startHls(video, address, { failed, settingsFor });
  return { ...player, codecs: fragments.beginning.tracks };
}

/** What hls.js wants to know of a loading, with nothing loaded. */
const freshStats = () => ({
  aborted: false,
  loaded: 0,
  retry: 0,
  total: 0,
  chunkCount: 0,
  bwEstimate: 0,
  loading: { start: performance.now(), first: 0, end: 0 },
  parsing: { start: 0, end: 0 },
  buffering: { start: 0, first: 0, end: 0 },
});

/** A loader for hls.js that gives it the list. */
const listLoader = (text) =>
  class {
    constructor() {
      this.stats = freshStats();
    }

    load(context, _config, { onSuccess }) {
      this.context = context;
      this.stats = freshStats();
      const now = performance.now();
      Object.assign(this.stats.loading, { first: now, end: now });
      Object.assign(this.stats, { loaded: text.length, total: text.length });
      queueMicrotask(() => this.context && onSuccess({ url: context.url, data: text, code: 200 }, this.stats, context, null));
    }

    abort() {
      this.context = null;
    }

    destroy() {
      this.context = null;
    }
  };

/** A loader for hls.js that gives it fragments. */
const fragmentLoader = (fragments) =>
  class {
    constructor() {
      this.stats = freshStats();
      this.giveUp = new AbortController();
    }

    async load(context, _config, { onSuccess, onError }) {
      this.context = context;
      this.stats = freshStats();
      const { signal } = this.giveUp;
      try {
        const data = await fragments.fetch(fragments.numberAt(context.rangeStart), signal);
        if (signal.aborted) return;
        const now = performance.now();
        Object.assign(this.stats.loading, { first: now, end: now });
        Object.assign(this.stats, { loaded: data.byteLength, total: data.byteLength });
        onSuccess({ url: context.url, data, code: 200 }, this.stats, context, null);
      } catch (error) {
        if (signal.aborted) return;
        onError({ code: error.code ?? 0, text: error.message }, context, null, this.stats);
      }
    }

    abort() {
      this.stats.aborted = true;
      this.giveUp.abort();
    }

    destroy() {
      this.giveUp.abort();
    }
  };
