/** Which codecs of a broadcast this browser can decode, and what that means for the viewer. Pure but for `supports`. */

/**
 * By ffmpeg's names, as the API gives them: what a browser is asked for. Codecs that are not here are ones that no
 * browser decodes (MPEG-2 video), or that the players here cannot take out of a transport stream.
 */
const VIDEO = {
  h264: 'video/mp4; codecs="avc1.640028"',
  hevc: 'video/mp4; codecs="hvc1.1.6.L120.90"',
  av1: 'video/mp4; codecs="av01.0.08M.08"',
};
const AUDIO = {
  aac: 'audio/mp4; codecs="mp4a.40.2"',
  aac_latm: 'audio/mp4; codecs="mp4a.40.2"',
  mp3: "audio/mpeg",
  ac3: 'audio/mp4; codecs="ac-3"',
  eac3: 'audio/mp4; codecs="ec-3"',
  opus: 'audio/mp4; codecs="opus"',
};
const UNSURE = new Set(["mp2"]); // some browsers take it for MP3 and play it, others stay silent

/** What to ask the browser: Media Source Extensions, or their variant on telephones. */
export function browserSupports(type) {
  const sources = window.MediaSource ?? window.ManagedMediaSource;
  return Boolean(sources?.isTypeSupported?.(type));
}

/**
 * Judge the codecs of a stream. Returns `{ video, audio }`, each null where the broadcast has none, else
 * `{ codec, plays }` of the first of its kind; `plays` is "yes", "no" or "maybe".
 */
export function judgeCodecs(codecs, supports = browserSupports) {
  const first = (kind) => codecs.find((one) => one.kind === kind && one.codec);
  return { video: verdict(first("video"), VIDEO, supports), audio: verdict(first("audio"), AUDIO, supports) };
}

/** The sounds that the browser does not decode. */
export const silentCodecs = (supports = browserSupports) => Object.keys(AUDIO).filter((codec) => !supports(AUDIO[codec]));

function verdict(one, types, supports) {
  if (!one) return null;
  if (UNSURE.has(one.codec)) return { codec: one.codec, plays: "maybe" };
  const type = types[one.codec];
  return { codec: one.codec, plays: type && supports(type) ? "yes" : "no" };
}
