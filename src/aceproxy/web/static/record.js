/**
 * What the figures were in the last ten minutes, as columns for graphs. Kept in the page, from when it was opened: bounded
 * by time and number, and what is not listed any more is forgotten.
 */

const SPAN_S = 600;
const LEAST_S = 0.7;
const MOST = 900; // samples of one record

/** Columns of numbers under names, all of one length; `t` is the time in seconds. */
class Columns {
  constructor(names) {
    this.names = names;
    this.t = [];
    this.columns = Object.fromEntries(names.map((name) => [name, []]));
  }

  push(at, values) {
    const gap = this.t.length && at - this.t[this.t.length - 1] > 5;
    if (gap) this.append(at - 0.001, {}); // a pause of the page is a gap in the line
    this.append(at, values);
  }

  append(at, values) {
    this.t.push(at);
    for (const name of this.names) this.columns[name].push(Number.isFinite(values[name]) ? values[name] : null);
    while (this.t.length > MOST || this.t[0] < at - SPAN_S) {
      this.t.shift();
      for (const name of this.names) this.columns[name].shift();
    }
  }
}

const TOTALS = ["inbound", "outbound"];
const STREAM = ["inbound", "bitrate", "outbound", "peers", "buffer", "clients"];

export class Record {
  constructor() {
    this.totals = new Columns(TOTALS);
    this.streams = new Map();
    this.sent = new Map();
  }

  /** Take the sums. */
  pushStats(stats, at = Date.now() / 1000) {
    this.totals.push(at, { inbound: stats.inbound_bps, outbound: stats.outbound_bps });
  }

  /** Take the list of streams; what left it is forgotten. */
  pushStreams(streams, at = Date.now() / 1000) {
    const here = new Set(streams.map((stream) => stream.stream_id));
    for (const id of this.streams.keys()) {
      if (here.has(id)) continue;
      this.streams.delete(id);
      this.sent.delete(id);
    }
    for (const stream of streams) {
      if (!this.streams.has(stream.stream_id)) this.streams.set(stream.stream_id, new Columns(STREAM));
      this.streams.get(stream.stream_id).push(at, {
        inbound: stream.inbound_bps,
        bitrate: stream.bitrate_bps,
        outbound: this.outbound(stream, at),
        peers: stream.engine_stat?.peers,
        buffer: stream.buffer_s,
        clients: stream.client_count,
      });
    }
  }

  /** The list tells bytes, not a rate: the rate is what came on top since the last time. */
  outbound(stream, at) {
    const before = this.sent.get(stream.stream_id);
    if (before && at - before.at < LEAST_S) return before.bps; // two answers so close tell more of the clock than of the rate
    this.sent.set(stream.stream_id, { at, bytes: stream.outbound_bytes, bps: null });
    if (!before) return null;
    const bps = Math.max(0, ((stream.outbound_bytes - before.bytes) * 8) / (at - before.at));
    this.sent.get(stream.stream_id).bps = bps;
    return bps;
  }

  /** What was measured last of a stream's outbound rate, in bit/s; null if it is not known yet. */
  outboundOf(streamId) {
    return this.sent.get(streamId)?.bps ?? null;
  }

  /** The columns of a stream, or undefined. */
  of(streamId) {
    return this.streams.get(streamId);
  }
}
