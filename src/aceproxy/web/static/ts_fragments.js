/**
 * A transport stream in a file as fragments that a player of HLS takes: parts of about equal size, each of which begins
 * at a keyframe and ends at the next one's. Nobody has an index of such a file, so where a fragment begins in time is an
 * estimate until it is there; the player corrects it by the time stamps.
 */

import { lastClock, nextKeyframe, PACKET, readBeginning, secondsBetween } from "./ts_file.js";

const BEGINNING_LIMIT = 4 << 20; // to look at for what is in the file, and how far keyframes lie apart
const END_BYTES = 1 << 20;
const KEYFRAMES_SEEN = 3;
const FRAGMENT_S = 5;
const LEAST_BYTES = 1000 * PACKET;
const MOST_BYTES = 48 << 20;
const GROUPS = 3; // groups of pictures in a fragment, at least
const SLOWEST_BPS = 20_000;
const FASTEST_BPS = 200_000_000;
const USUAL_BPS = 5_000_000;

/** The fragments of a file. `duration` is in seconds, an estimate. */
export class TsFragments {
  constructor(file, beginning, bps) {
    this.file = file;
    this.beginning = beginning;
    this.duration = ((file.size - beginning.start) * 8) / bps;
    this.bytes = fragmentBytes(beginning, bps);
    const count = Math.round((file.size - beginning.start) / this.bytes);
    this.count = Math.max(1, count); // the last one holds what is left over
    this.cuts = new Map([[0, beginning.start]]); // number of a fragment -> where it begins, as far as known
  }

  /** The list for a player, whose fragments are parts of `address`. */
  list(address) {
    const rate = this.duration / (this.file.size - this.beginning.start);
    const parts = Array.from({ length: this.count }, (_, number) => [this.place(number), this.place(number + 1)]);
    const longest = Math.max(...parts.map(([first, stop]) => (stop - first) * rate));
    const head = ["#EXTM3U", "#EXT-X-VERSION:4", "#EXT-X-PLAYLIST-TYPE:VOD", `#EXT-X-TARGETDURATION:${Math.ceil(longest)}`];
    const lines = parts.flatMap(([first, stop]) => [
      `#EXTINF:${((stop - first) * rate).toFixed(3)},`,
      `#EXT-X-BYTERANGE:${stop - first}@${first}`,
      address,
    ]);
    return [...head, ...lines, "#EXT-X-ENDLIST", ""].join("\n");
  }

  place(number) {
    return number >= this.count ? this.file.size : this.beginning.start + number * this.bytes;
  }

  /** The number of the fragment at a place that the list names. */
  numberAt(place) {
    return Math.min(this.count - 1, Math.round((place - this.beginning.start) / this.bytes));
  }

  /** Fetch a fragment. Throws PartError, and AbortError by `signal`. */
  async fetch(number, signal) {
    const { video, tables } = this.beginning;
    const from = this.cuts.get(number) ?? this.place(number);
    const stop = this.place(number + 1);
    const limit = Math.min(this.file.size, stop + this.bytes);
    const isLast = number === this.count - 1;
    const enough = (bytes) => {
      if (isLast || bytes.length <= stop - from) return null;
      const end = video ? nextKeyframe(bytes, Math.max(PACKET, stop - from), video) : stop - from;
      return end < 0 ? null : bytes.subarray(0, end);
    };
    const bytes = await this.file.read(from, limit, { enough, signal });
    if (!isLast) this.cuts.set(number + 1, from + bytes.length);
    const start = this.cuts.has(number) || !video ? 0 : Math.max(0, nextKeyframe(bytes, 0, video));
    this.cuts.set(number, from + start);
    const fragment = new Uint8Array(tables.length + bytes.length - start);
    fragment.set(tables);
    fragment.set(bytes.subarray(start), tables.length);
    return fragment.buffer;
  }
}

/** Look at a file's beginning and end; resolves to its fragments, or to null where it is no transport stream. */
export async function fragmentsOf(file, firstBytes) {
  let beginning = readBeginning(firstBytes);
  if (beginning === null) return null;
  const seen = (bytes) => {
    const read = readBeginning(bytes);
    return read && (!read.video || read.keyframes.length >= KEYFRAMES_SEEN) && read.clock ? bytes : null;
  };
  if (seen(firstBytes) === null) {
    const more = await file.read(0, BEGINNING_LIMIT, { enough: seen });
    beginning = readBeginning(more) ?? beginning;
  }
  const end = await file.read(-Math.min(END_BYTES, file.size), 0);
  return new TsFragments(file, beginning, rateOf(file, beginning, end));
}

function rateOf(file, beginning, end) {
  const last = lastClock(end, beginning.clockPid);
  if (last === null || beginning.clock === null) return USUAL_BPS;
  const span = secondsBetween(beginning.clock, last);
  const bps = span > 0 ? ((file.size - end.length + last.at - beginning.clock.at) * 8) / span : 0;
  return bps >= SLOWEST_BPS && bps <= FASTEST_BPS ? bps : USUAL_BPS;
}

function fragmentBytes({ keyframes }, bps) {
  const gaps = keyframes.slice(1).map((at, one) => at - keyframes[one]);
  const wanted = Math.max((FRAGMENT_S * bps) / 8, GROUPS * Math.max(0, ...gaps), LEAST_BYTES);
  return Math.round(Math.min(wanted, MOST_BYTES) / PACKET) * PACKET;
}
