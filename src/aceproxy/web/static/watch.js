/** The watch page: one stream in the browser, and how to get it onto other devices. */

import { Feed } from "./feed.js";
import { Devices } from "./devices.js";
import { Files } from "./files.js";
import { h, setText, show } from "./dom.js";
import { linkInput } from "./link_input.js";
import { keyOfLink, playedKey, readLink, readQuery } from "./links.js";
import { Stage } from "./stage.js";
import { t, translatePage } from "./texts.js";

const byId = (id) => document.getElementById(id);

/** The link that the page's own address names, with what else players need; null where there is none. */
function linkOfPage() {
  const given = new URLSearchParams(location.search);
  const link = readQuery(given);
  if (!link?.query) return null;
  const token = given.get("token");
  return { ...link, query: token ? [...link.query, ["token", token]] : link.query };
}

/** Without a link there is nothing to play: ask for one. */
function askForLink(root) {
  const input = linkInput();
  const hint = h("p", { class: "play-hint", role: "status" });
  const open = (event) => {
    event.preventDefault();
    const link = readLink(input.value);
    if (link?.query) location.search = new URLSearchParams(link.query).toString();
    else setText(hint, link ? t.hints[link.problem](link.length) : "");
  };
  root.append(
    h(
      "form",
      { class: "watch-ask", onsubmit: open },
      h("h1", { id: "watch-title", text: t.watch.askTitle }),
      h("label", { for: "link", text: t.watch.askLabel }),
      h("div", { class: "play-row" }, input, h("button", { type: "submit", class: "button primary", text: t.watch.play })),
      hint,
    ),
  );
  input.focus();
}

function streamOf(link, streams) {
  const key = keyOfLink(link);
  const named = streams.find(
    (stream) =>
      stream.key === key ||
      stream.aliases?.includes(key) ||
      `infohash:${stream.infohash}` === key ||
      stream.stream_id === key?.replace(/^\w+:/, ""),
  );
  return named ?? streams.find((stream) => playedKey(stream) === key); // as a fallback of another link
}

/** How many watch it: those who get its sound as AAC are clients of a stream that is made of it. */
function viewersOf(stream, streams) {
  const made = streams.filter((one) => one.derived_from === stream.stream_id);
  return made.reduce((sum, one) => sum + one.client_count, stream.client_count);
}

function start() {
  translatePage();
  const link = linkOfPage();
  if (link === null) {
    askForLink(byId("stage"));
    return;
  }
  const stage = new Stage(byId("stage"), link);
  const devices = new Devices(byId("elsewhere"), link);
  const files = new Files(byId("files"), link, (name) => stage.setTitle(name));
  stage.onFile = () => {
    devices.forFile();
    files.show();
  };
  show(byId("elsewhere"), true);
  const feed = new Feed({
    overview: ({ streams }) => {
      if (!streams) return;
      const stream = streamOf(link, streams);
      stage.showStream(stream ? { ...stream, viewers: viewersOf(stream, streams) } : null);
    },
    good: () => {},
    partial: () => {},
    lost: () => stage.showStream(null),
    refused: () => feed.stop(), // who may only play is told nothing of the streams
  });
  feed.start();
  stage.start();
}

start();
