/**
 * Where on its way a stream is in trouble, and in which words. Pure.
 *
 * The way has four stations: swarm, source, buffer, clients. Each is "ok", "busy", "warn", "bad" or "idle".
 */

import { count, rate, span } from "./format.js";
import { isLate } from "./ring.js";
import { t } from "./texts.js";

const SILENT_S = 4;
const THIN_BUFFER_S = 2;
const SLOW_SHARE = 0.85;

/** Judge a stream: `{ swarm, source, buffer, clients, words }`; `words` is empty where all is well. */
export function judge(stream) {
  const stat = stream.engine_stat ?? {};
  const empty = stat.peers === 0;
  if (stream.state === "starting") {
    const words = empty && stream.state_s > 10 ? t.verdicts.noPeersStart : "";
    return { swarm: words ? "bad" : "busy", source: "idle", buffer: "idle", clients: "idle", words };
  }
  if (stream.state === "recovering") {
    const words = empty ? t.verdicts.recoveringSwarm : t.verdicts.recovering;
    return { swarm: empty ? "bad" : "ok", source: "bad", buffer: "warn", clients: "warn", words };
  }
  return judgeRunning(stream, stat, empty);
}

function judgeRunning(stream, stat, empty) {
  const silent = stream.last_byte_age_s > SILENT_S;
  const slow =
    stream.bitrate_bps > 0 &&
    Number.isFinite(stat.speed_down_bps) &&
    stat.speed_down_bps < stream.bitrate_bps * SLOW_SHARE &&
    stream.inbound_bps < stream.bitrate_bps * SLOW_SHARE;
  // lists of streams come without their clients, but with how many are late
  const behind = stream.late_clients ?? stream.clients.reduce((n, client) => n + (isLate(client, stream) ? 1 : 0), 0);
  const lingering = stream.state === "lingering";
  const words = [];
  if (silent) words.push((empty ? t.verdicts.silentSwarm : t.verdicts.silent)(span(stream.last_byte_age_s)));
  else if (slow) words.push(t.verdicts.slowSwarm(rate(stat.speed_down_bps), rate(stream.bitrate_bps)));
  if (behind) words.push(t.verdicts.behind(count(behind)));
  if (lingering) words.push(t.verdicts.lingering);
  return {
    swarm: empty ? "bad" : slow ? "warn" : "ok",
    source: silent ? "warn" : "ok",
    buffer: stream.buffer_s < THIN_BUFFER_S ? "warn" : "ok",
    clients: lingering || stream.client_count === 0 ? "idle" : behind ? "warn" : "ok",
    words: words.join(" "),
  };
}
