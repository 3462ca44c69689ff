/**
 * What a pasted text means as a link to a broadcast. Pure. The server has the last word; this only gives the right
 * address at once and says early what is wrong.
 */

const LONGEST = 2000;
const ID = /^[0-9a-f]{40}$/i;
const PARAMETERS = { content_id: "id", id: "id", infohash: "infohash" };

const found = (kind, query, ambiguous = false) => ({ kind, query, ambiguous });
const wrong = (problem, length = 0) => ({ problem, length });

/**
 * Read a link. Returns null for an empty text, `{ kind, query, ambiguous }` for a link (`kind`: content_id, infohash,
 * url; `query`: pairs for the play address; `ambiguous`: 40 bare characters that could be either kind of id), or
 * `{ problem, length }` with the name of a hint.
 */
export function readLink(text) {
  const link = text.trim().replace(/^[<{["'(]+|[>}\]"')]+$/g, "").trim();
  if (link === "") return null;
  if (link.length > LONGEST) return wrong("tooLong");
  if (ID.test(link)) return found("content_id", [["id", link.toLowerCase()]], true);
  if (/^acestream:/i.test(link)) return readAcestream(link);
  if (/^magnet:/i.test(link)) return readMagnet(link);
  if (/^https?:/i.test(link)) return readUrl(link);
  if (/^[0-9a-f]{24,}$/i.test(link)) return wrong("length", link.length);
  if (/^[0-9a-z]{40}$/i.test(link)) return wrong("notHex");
  return wrong("unknown");
}

function readAcestream(link) {
  const plain = /^acestream:\/\/([^/?#]*)/i.exec(link);
  if (plain) return readId(plain[1]);
  const query = /^acestream:\?(.+)$/i.exec(link);
  return query ? readQuery(new URLSearchParams(query[1])) : wrong("unknown");
}

function readId(id) {
  if (ID.test(id)) return found("content_id", [["id", id.toLowerCase()]]);
  return /^[0-9a-f]*$/i.test(id) ? wrong("length", id.length) : wrong("notHex");
}

/** Read the link that the query of an address names (URLSearchParams). Returns what `readLink` does. */
export function readQuery(parameters) {
  const index = parameters.get("index") ?? parameters.get("_idx");
  const more = index !== null && /^[1-9]\d{0,3}$/.test(index) ? [["_idx", index]] : [];
  for (const [name, parameter] of Object.entries(PARAMETERS)) {
    const id = parameters.get(name);
    if (id === null) continue;
    if (!ID.test(id)) return readId(id);
    return found(parameter === "id" ? "content_id" : "infohash", [[parameter, id.toLowerCase()], ...more]);
  }
  const magnet = parameters.get("magnet");
  if (magnet !== null) return readMagnet(magnet);
  const url = parameters.get("url");
  return url !== null && /^https?:\/\/[^/]/i.test(url) ? found("url", [["url", url], ...more]) : wrong("unknown");
}

function readMagnet(link) {
  const hash = /[?&]xt=urn:btih:([^&]*)/i.exec(link);
  if (!hash) return wrong("magnet");
  return ID.test(hash[1]) ? found("infohash", [["infohash", hash[1].toLowerCase()]]) : wrong("magnet");
}

function readUrl(link) {
  let url;
  try {
    url = new URL(link);
  } catch {
    return wrong("unknown");
  }
  // An address of an engine or of another proxy: what is meant is the broadcast in it.
  if (/\/(ace\/(getstream|manifest\.m3u8)|watch)$/.test(url.pathname)) return readQuery(url.searchParams);
  return found("url", [["url", link]]);
}

/** The query that plays a running or ended stream again, from its key; null if the key does not hold the link itself. */
export function queryOfKey(key, infohash = null) {
  const parts = /^(content_id|infohash):([0-9a-f]{40})(?:#(\d+))?$/.exec(key);
  const index = parts ? parts[3] : /#(\d+)$/.exec(key)?.[1];
  const more = index ? [["_idx", index]] : [];
  if (parts) return [[PARAMETERS[parts[1]], parts[2]], ...more];
  return infohash && ID.test(infohash) ? [["infohash", infohash], ...more] : null;
}

/** The key that a link found by `readLink` has as a stream, where that can be told here; else null. */
export function keyOfLink(link) {
  if (link.kind === "url") return null;
  const index = link.query.find(([name]) => name === "_idx");
  return `${link.kind}:${link.query[0][1]}${index ? `#${index[1]}` : ""}`;
}

/** The key of the link that a stream plays: its own, or one of its fallbacks. */
export function playedKey(stream) {
  return stream.links?.[stream.link_at];
}
