/** What a stream is called and what it is made of, in words. */

import { playUrl } from "./api.js";
import { engineName } from "./engine_names.js";
import { count, shortId, size, span } from "./format.js";
import { queryOfKey } from "./links.js";
import { t } from "./texts.js";

/** What a stream is called: its title, else its short id. */
export const nameOf = (stream) => stream.title || t.untitled(shortId(stream.stream_id));

/** The query that plays a stream, null where its link is not known. */
export const queryOf = (stream) => queryOfKey(stream.key, stream.infohash);

/** The address that plays a stream, null where its link is not known. */
export function linkOf(stream) {
  const query = queryOf(stream);
  return query && playUrl(query);
}

/** A codec as people know it, with its language. */
export function codecWords(codec) {
  return [t.codecs[codec.codec] ?? codec.codec, codec.language].filter(Boolean).join(" ");
}

/** The codecs of picture and sound. */
export function codecsOf(stream) {
  const seen = (stream.codecs ?? []).filter((codec) => ["video", "audio"].includes(codec.kind) && codec.codec);
  return [...new Set(seen.map(codecWords))].join(", ");
}

/** One line about a stream. */
export function factsOf(stream) {
  const facts = [
    stream.title ? shortId(stream.stream_id) : "",
    codecsOf(stream),
    stream.engine ? t.engineWord(engineName(stream.engine)) : "",
    t.runningFor(span(stream.uptime_s)),
    stream.recoveries ? t.recoveries(count(stream.recoveries)) : "",
    stream.dropped_bytes ? t.dropped(size(stream.dropped_bytes)) : "",
  ];
  return facts.filter(Boolean).join("  ·  ");
}
