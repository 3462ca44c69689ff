/**
 * Every text of the dashboard. For another language, write a catalogue with the same names and choose it here.
 * Reason names are those of docs/reasons.md; one that is missing here is shown by its name.
 */

const plural = (n, one, many) => (String(n) === "1" ? one : many);

const english = {
  lang: "en",
  units: {
    rate: ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"],
    size: ["B", "kB", "MB", "GB", "TB", "PB"],
    span: ["d", "h", "min", "s"],
    second: "s",
  },

  // index.html, by data-text
  page: {
    skip: "Skip to the streams",
    play: "Play a link",
    playHint: "acestream://…, a content id, an infohash, a magnet or a transport file’s address",
    streams: "Streams",
    engines: "Engines",
    ended: "Ended lately",
    logs: "Log",
    loading: "Asking AceProxy…",
  },
  title: (clients) => `${clients} ${plural(clients, "client", "clients")} · AceProxy`,
  titleLost: "not reachable · AceProxy",

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

  // head and figures
  health: { healthy: "All engines up", degraded: "Some engines down", unhealthy: "No engine up", unknown: "Asking the engines" },
  up: (span) => `up ${span}`,
  figures: { streams: "Streams", clients: "Clients", inbound: "Inbound", outbound: "Outbound" },
  states: {
    starting: "starting",
    live: "live",
    recovering: "recovering",
    lingering: "lingering",
    closed: "closed",
  },
  startedFailed: (started, failed) => `${started} started so far${failed === "0" ? "" : `, ${failed} failed`}`,
  servedSkips: (served, skips) => `${served} served${skips ? `, ${skips} ${plural(skips, "skip", "skips")}` : ""}`,
  sinceStart: (size) => `${size} in all`,
  fanOut: (factor) => `${factor} × inbound`,
  peak: (rate) => `peak ${rate}`,
  sparkOf: (name) => `${name}, the last two minutes`,

  // play box
  linkIs: { content_id: "Content id", infohash: "Infohash", url: "Transport file" },
  linkAsk: "These 40 characters are a",
  linkRunning: (clients) => `Playing now for ${clients} ${plural(clients, "client", "clients")}: you join at once.`,
  linkUrlNote: "The operator must allow this host (url_hosts).",
  linkOpen: "Open this address in a player such as VLC, mpv or Kodi:",
  streamAddress: "Stream address",
  copyAddress: "Copy address",
  copied: "Copied",
  copyFailed: "The browser does not allow copying. Select the address and copy it yourself.",
  hints: {
    length: (length) => `An id has 40 characters; this one has ${length}.`,
    notHex: () => "An id is made of the digits 0–9 and the letters a–f only.",
    magnet: () => "This magnet has no infohash of 40 characters (xt=urn:btih:…).",
    tooLong: () => "This is too long for a link.",
    unknown: () => "This is no AceStream link. One looks like acestream://, then 40 digits and letters a–f.",
  },

  // engines
  engineStates: { up: "up", down: "down", hung: "hangs", unknown: "not asked yet" },
  engineVersion: (version) => `version ${version}`,
  engineLoad: (streams, capacity) => `${streams} of ${capacity} playbacks`,
  engineLastOk: (span) => `last answered ${span} ago`,
  engineNever: "has never answered",
  engineHung: "It takes connections but does not answer. Restarting it is the cure.",
  noEngines: "No engine is set.",
  helpTitle: "How to get an engine going",
  helpTitleSome: "What to do about it",
  helpContainer: "Start one in a container:",
  helpContainerCommand:
    "docker run -d --name acestream -p 6878:6878 -e ALLOW_REMOTE_ACCESS=yes martinbjeldbak/acestream-http-proxy",
  helpBind: "An engine that you start yourself answers other machines only with this option:",
  helpBindCommand: "start-engine --client-console --bind-all",
  helpAddress: "It runs elsewhere? Tell AceProxy its address:",
  helpAddressCommand: "aceproxy serve --engine http://192.168.1.20:6878",
  helpDemo: "Only want to look around? This brings its own engine:",
  helpDemoCommand: "aceproxy demo",
  copyCommand: (command) => `Copy the command ${command}`,

  // streams
  emptyTitle: "Nothing is playing yet",
  emptyBody: "A stream begins when the first player opens it, and one playback then serves every further player. Try it:",
  emptySteps: [
    "Paste any AceStream link into the box above.",
    "Copy the address that appears.",
    "Open it in VLC, mpv, Kodi or on your TV.",
  ],
  emptyNoEngine: "No engine answers, so nothing can play yet. For what to do, see",
  emptyExample: "An address looks like this:",
  untitled: (id) => `Untitled ${id}`,
  inState: (state, span) => `${state} for ${span}`,
  stations: { swarm: "Swarm", source: "Source", buffer: "Buffer", clients: "Clients" },
  peers: (n) => plural(n, "peer", "peers"),
  downUp: (down, up) => `↓\u00a0${down}  ↑\u00a0${up}`,
  notTold: "not told",
  bitrate: (rate) => `broadcast ${rate}`,
  sourceOf: (total) => `${total} so far`,
  lastByte: (span) => `silent for ${span}`,
  keyframes: (n, size) => `${n} ${plural(n, "keyframe", "keyframes")}, ${size}`,
  clientsWord: (n) => plural(n, "client", "clients"),
  clientsRate: (rate) => `↑ ${rate}`,
  waiting: (n) => `${n} waiting`,
  recoveries: (n) => `${n} ${plural(n, "recovery", "recoveries")}`,
  dropped: (size) => `${size} unusable`,
  engineWord: (host) => `engine ${host}`,
  runningFor: (span) => `running ${span}`,
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

  // clients
  clientsSummary: (n) => `${n} ${plural(n, "client", "clients")}`,
  noClients: "No client is connected.",
  noClientsWaiting: (n) => `${n} ${plural(n, "player waits", "players wait")} for the first picture.`,
  columns: {
    agent: "Player",
    address: "Address",
    connected: "Connected",
    rate: "Rate",
    sent: "Sent",
    lag: "Lag",
    skips: "Skips",
  },
  sortBy: (column) => `Sort by ${column}`,
  unknownAgent: "unnamed player",
  behind: "behind",
  kick: "Disconnect",
  kickOne: (name) => `Disconnect ${name}`,
  showAll: (n) => `Show all ${n}`,
  showFewer: (n) => `Show only ${n}`,
  showing: (n, all) => `${n} of ${all} shown`,
  endedClients: (n) => `${n} ${plural(n, "player", "players")} gone`,
  endedSent: (size, skips) => `${size}${skips ? `, ${skips} ${plural(skips, "skip", "skips")}` : ""}`,
  ago: (span) => `${span} ago`,

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

  // log
  level: "Level",
  levels: { debug: "Everything", info: "Info and up", warning: "Warnings and errors", error: "Errors only" },
  logStream: "Stream",
  logAllStreams: "All streams",
  logFilter: "Text",
  logFilterHint: "contains…",
  pause: "Pause",
  resume: "Resume",
  logCount: (shown, all) => (shown === all ? `${all} ${plural(all, "line", "lines")}` : `${shown} of ${all} lines`),
  logEmpty: "The log is empty.",
  logNoMatch: "No line matches the filter.",
  logFailed: (why) => `The log cannot be read: ${why}.`,

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

/** The catalogue in use. */
export const t = english;

/** A reason in words. */
export function reasonWords(reason) {
  return t.reasons[reason] ?? String(reason ?? "").replaceAll("_", " ");
}
