/** English: units, states, reasons, and what every page says */

import { plural } from "../plural.js";

export default {
  lang: "en",
  units: {
    rate: ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"],
    size: ["B", "kB", "MB", "GB", "TB", "PB"],
    span: ["d", "h", "min", "s"],
    second: "s",
  },

  // what stands in the HTML files, by data-text and data-label
  page: {
    skip: "Skip to the content",
    play: "Play a link",
    playHint: "acestream://…, a content id, an infohash, a magnet or a transport file’s address",
    streams: "Streams",
    engines: "Engines",
    ended: "Ended lately",
    logs: "Log",
    loading: "Asking AceProxy…",
    dashboard: "Dashboard",
    elsewhere: "On other devices",
    picture: "Picture of the stream",
  },

  // connection to AceProxy
  noAnswer: "there is no answer",
  noAnswerInTime: (limit) => `no answer within ${limit} s`,
  oddAnswer: (status) => `an answer that makes no sense (HTTP ${status})`,
  gatewayAnswer: (status) => `the server in front of it answered HTTP ${status}`,
  lost: "AceProxy cannot be reached.",
  lostDetail: (why, age) => `${why[0].toUpperCase()}${why.slice(1)}.${age ? ` What you see is ${age} old.` : ""}`,
  retryIn: (seconds) => `Next try in ${seconds} s`,
  retrying: "Trying…",
  retryNow: "Try now",
  partial: "A part of the API fails:",
  fresh: "live",
  stale: "no contact",

  // names of ffmpeg, as the API gives them
  codecs: {
    mpeg1video: "MPEG-1",
    mpeg2video: "MPEG-2",
    mpeg4: "MPEG-4",
    h264: "H.264",
    hevc: "H.265",
    vvc: "H.266",
    av1: "AV1",
    vc1: "VC-1",
    mp2: "MPEG audio",
    mp3: "MP3",
    aac: "AAC",
    aac_latm: "AAC LATM",
    ac3: "AC-3",
    eac3: "E-AC-3",
    ac4: "AC-4",
    dts: "DTS",
    opus: "Opus",
  },
  copyLink: "Copy link",
  copyLinkNone: "The link of this stream is not known here.",
  stop: "Stop",
  showLog: "Log",
  ofStream: (what, name) => `${what}: ${name}`,
  ringLabel: (buffered, clients, worst) =>
    `Buffer of ${buffered}; ${clients} ${plural(clients, "client", "clients")}${worst ? `, the last one ${worst} behind the live edge` : ""}.`,
  ringLive: "live edge",
  ringAgo: (s) => `−${s} s`,
  starting: {
    asking: "Asking the engine",
    prebuffer: (percent) => `Prebuffering ${percent} %`,
    opening: "Opening the broadcast",
  },
  verdicts: {
    noPeersStart: "Nobody is sending this broadcast yet: the engine has found no peers.",
    recovering: "The source is lost and being reopened. Players stay connected.",
    recoveringSwarm: "The swarm has no peers; the source is being reopened. Players stay connected.",
    silent: (span) => `Nothing has arrived for ${span}. Players stay connected and wait.`,
    silentSwarm: (span) => `Nothing has arrived for ${span}: the swarm has no peers.`,
    slowSwarm: (speed, bitrate) => `The swarm is slower than the broadcast: ${speed} of ${bitrate}.`,
    behind: (n) =>
      `${n} ${plural(n, "client does", "clients do")} not keep up; the others do not feel it.`,
    lingering: "No client is left. The stream is kept for a moment in case one comes back.",
  },

  // ended streams and reasons
  endedEmpty: "No stream has ended since AceProxy started.",
  lasted: (span) => `after ${span}`,
  whose: "Whose fault",
  faults: { client: "player", proxy: "proxy", engine: "engine", swarm: "swarm", none: "normal end" },
  reasons: {
    client_left: "left",
    stalled_client: "took no data for too long",
    kicked: "disconnected by the operator",
    stopped: "stopped by the operator",
    linger_over: "nobody came back",
    gave_way: "gave way to another stream",
    shutdown: "AceProxy shut down",
    internal: "a mistake of AceProxy",
    source_ended: "the engine ended it",
    source_stalled: "stopped arriving",
    session_lost: "the engine forgot it",
    no_peers: "no peers",
    start_timeout: "did not begin in time",
    no_data: "no data",
    content_not_found: "not found",
    engine_unreachable: "engine not reachable",
    engine_timeout: "engine did not answer",
    engine_refused: "engine refuses access",
    engine_error: "engine error",
    engine_option_missing: "engine wants an option",
    engine_redirected: "sent to another server",
    encrypted: "encrypted",
    not_mpegts: "not MPEG-TS",
    at_capacity: "engines are full",
  },

  // questions and what came of them
  cancel: "Cancel",
  close: "Close",
  stopTitle: "Stop this stream?",
  stopBody: (clients) =>
    clients
      ? `${clients} ${plural(clients, "client is", "clients are")} disconnected, and the playback on the engine ends.`
      : "The playback on the engine ends.",
  stopConfirm: "Stop stream",
  stopDone: (name, clients) => `Stopped ${name}${clients ? `; ${clients} disconnected` : ""}.`,
  kickTitle: "Disconnect this client?",
  kickBody: "Only this one is affected. Most players try to connect again by themselves.",
  kickConfirm: "Disconnect",
  kickDone: (name) => `Disconnected ${name}.`,
  failed: (why) => `That did not work: ${why}`,
};
