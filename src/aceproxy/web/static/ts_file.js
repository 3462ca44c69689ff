/** What there is to know about a transport stream in a file, from parts of it (ISO/IEC 13818-1). Pure; offsets and sizes in bytes. */

export const PACKET = 188;
const SYNC = 0x47;
const CLOCK_HZ = 90_000;
const CLOCK_WRAP = 2 ** 33;
const KINDS = {
  0x01: ["video", "mpeg1video"],
  0x02: ["video", "mpeg2video"],
  0x03: ["audio", "mp2"],
  0x04: ["audio", "mp2"],
  0x0f: ["audio", "aac"],
  0x11: ["audio", "aac_latm"],
  0x1b: ["video", "h264"],
  0x24: ["video", "hevc"],
  0x81: ["audio", "ac3"],
  0x87: ["audio", "eac3"],
};
const PRIVATE = 0x06; // what it is, its descriptors say (ETSI EN 300 468, 6.1)
const UNNAMED = 0x05; // sections of anybody's own: players leave such a track alone
const DESCRIPTORS = { 0x6a: "ac3", 0x7a: "eac3" };

const pidOf = (bytes, at) => ((bytes[at + 1] & 0x1f) << 8) | bytes[at + 2];
const begins = (bytes, at) => (bytes[at + 1] & 0x40) !== 0;

/** Where packets begin in `bytes`, or -1: three in a row must have their mark. */
export function findPackets(bytes) {
  for (let at = 0; at < PACKET && at + 2 * PACKET < bytes.length; at += 1) {
    if (bytes[at] === SYNC && bytes[at + PACKET] === SYNC && bytes[at + 2 * PACKET] === SYNC) return at;
  }
  return -1;
}

/** Where the payload of a packet begins; its end if it has none. */
function payloadAt(bytes, at) {
  const control = bytes[at + 3] & 0x30;
  if (control === 0x10) return at + 4;
  return control === 0x30 ? Math.min(at + 5 + bytes[at + 4], at + PACKET) : at + PACKET;
}

/** The clock (PCR) of a packet in ticks of 1/90000 s, or null. */
function clockOf(bytes, at) {
  const hasField = (bytes[at + 3] & 0x20) !== 0 && bytes[at + 4] >= 7;
  if (!hasField || (bytes[at + 5] & 0x10) === 0) return null;
  const high = ((bytes[at + 6] << 24) | (bytes[at + 7] << 16) | (bytes[at + 8] << 8) | bytes[at + 9]) >>> 0;
  return high * 2 + (bytes[at + 10] >> 7);
}

/** The section that begins in a packet, as far as it is in that packet; null where none does. */
function sectionOf(bytes, at, tableId) {
  if (!begins(bytes, at)) return null;
  const start = payloadAt(bytes, at);
  const section = start + 1 + bytes[start];
  if (section + 12 > at + PACKET || bytes[section] !== tableId) return null;
  const length = ((bytes[section + 1] & 0x0f) << 8) | bytes[section + 2];
  return bytes.subarray(section, Math.min(section + 3 + length - 4, at + PACKET));
}

function tracksOf(pmt) {
  const tracks = [];
  let at = 12 + (((pmt[10] & 0x0f) << 8) | pmt[11]);
  while (at + 5 <= pmt.length) {
    const length = ((pmt[at + 3] & 0x0f) << 8) | pmt[at + 4];
    const pid = ((pmt[at + 1] & 0x1f) << 8) | pmt[at + 2];
    let [kind, codec] = KINDS[pmt[at]] ?? [null, null];
    for (let one = at + 5; pmt[at] === PRIVATE && one + 2 <= Math.min(at + 5 + length, pmt.length); one += 2 + pmt[one + 1]) {
      if (DESCRIPTORS[pmt[one]]) [kind, codec] = ["audio", DESCRIPTORS[pmt[one]]];
    }
    if (kind) tracks.push({ pid, kind, codec, language: null, at });
    at += 5 + length;
  }
  return tracks;
}

/**
 * Read the beginning of a file. Returns null where it is no transport stream or has no tables, else `{ start, tables,
 * tracks, video, clockPid, clock, keyframes }`: where packets begin, the packets with PAT and PMT, what is in it (as
 * the API's codecs), the track with the pictures (null without), the clock and where keyframes begin.
 */
export function readBeginning(bytes) {
  const start = findPackets(bytes);
  if (start < 0) return null;
  let pmtPid = null;
  let pat = null;
  for (let at = start; at + PACKET <= bytes.length; at += PACKET) {
    if (pmtPid === null && pidOf(bytes, at) === 0) {
      pmtPid = pmtPidOf(sectionOf(bytes, at, 0x00));
      pat = bytes.slice(at, at + PACKET);
    } else if (pmtPid !== null && pidOf(bytes, at) === pmtPid) {
      const pmt = sectionOf(bytes, at, 0x02);
      if (pmt === null) continue;
      const tracks = tracksOf(pmt);
      const video = tracks.find((track) => track.kind === "video") ?? null;
      const clockPid = ((pmt[8] & 0x1f) << 8) | pmt[9];
      const tables = new Uint8Array(2 * PACKET);
      tables.set(pat);
      tables.set(bytes.subarray(at, at + PACKET), PACKET);
      const clock = firstClock(bytes, start, clockPid);
      return { start, tables, tracks, video, clockPid, clock, keyframes: video ? allKeyframes(bytes, start, video) : [] };
    }
  }
  return null;
}

/** Take the sound of some codecs out of the tables of a stretch of packets that begins with them, in place. */
export function leaveOutSound(bytes, codecs) {
  let pmtPid = null;
  for (let at = 0; at + PACKET <= bytes.length; at += PACKET) {
    if (pidOf(bytes, at) === 0) pmtPid ??= pmtPidOf(sectionOf(bytes, at, 0x00));
    else if (pidOf(bytes, at) === pmtPid) {
      const pmt = sectionOf(bytes, at, 0x02);
      const sounds = pmt ? tracksOf(pmt).filter(({ kind, codec }) => kind === "audio" && codecs.includes(codec)) : [];
      for (const sound of sounds) pmt[sound.at] = UNNAMED;
    }
  }
}

function pmtPidOf(pat) {
  for (let one = 8; pat && one + 4 <= pat.length; one += 4) {
    if (pat[one] !== 0 || pat[one + 1] !== 0) return ((pat[one + 2] & 0x1f) << 8) | pat[one + 3]; // 0 is no program
  }
  return null;
}

function firstClock(bytes, start, pid) {
  for (let at = start; at + PACKET <= bytes.length; at += PACKET) {
    const clock = pidOf(bytes, at) === pid ? clockOf(bytes, at) : null;
    if (clock !== null) return { ticks: clock, at };
  }
  return null;
}

/** The last clock in a part of a file: `{ ticks, at }`, or null. */
export function lastClock(bytes, pid) {
  const start = findPackets(bytes);
  let found = null;
  for (let at = start; at >= 0 && at + PACKET <= bytes.length; at += PACKET) {
    const clock = bytes[at] === SYNC && pidOf(bytes, at) === pid ? clockOf(bytes, at) : null;
    if (clock !== null) found = { ticks: clock, at };
  }
  return found;
}

/** Seconds from one clock to a later one, of which the counter may have begun anew in between. */
export const secondsBetween = (first, last) => ((last.ticks - first.ticks + CLOCK_WRAP) % CLOCK_WRAP) / CLOCK_HZ;

/** Whether a keyframe begins in the packet at `at`: the packet says so, or what stands before a keyframe is in it. */
function isKeyframe(bytes, at, video) {
  if (bytes[at] !== SYNC || pidOf(bytes, at) !== video.pid || !begins(bytes, at)) return false;
  if ((bytes[at + 3] & 0x20) !== 0 && bytes[at + 4] > 0 && (bytes[at + 5] & 0x40) !== 0) return true;
  for (let one = payloadAt(bytes, at); one + 3 < at + PACKET; one += 1) {
    if (bytes[one] !== 0 || bytes[one + 1] !== 0 || bytes[one + 2] !== 1) continue;
    const unit = bytes[one + 3];
    if (video.codec === "h264" && [5, 7].includes(unit & 0x1f)) return true;
    if (video.codec === "hevc" && [32, 33].includes((unit >> 1) & 0x3f)) return true;
    if (video.codec.startsWith("mpeg") && unit === 0xb3) return true;
  }
  return false;
}

/** Where the first keyframe at or behind `from` begins, a place of a packet; -1 if there is none in `bytes`. */
export function nextKeyframe(bytes, from, video) {
  for (let at = from; at + PACKET <= bytes.length; at += PACKET) if (isKeyframe(bytes, at, video)) return at;
  return -1;
}

function allKeyframes(bytes, start, video) {
  const found = [];
  for (let at = nextKeyframe(bytes, start, video); at >= 0; at = nextKeyframe(bytes, at + PACKET, video)) found.push(at);
  return found;
}
