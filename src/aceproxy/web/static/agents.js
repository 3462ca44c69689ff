/** What a player is called: browsers tell half a page of what they are like, of which two words say who is there. */

import { h } from "./dom.js";
import { t } from "./texts.js";

// The first that is named is the one: each of them also names those that came before it.
const BROWSERS = { Edg: "Edge", OPR: "Opera", SamsungBrowser: "Samsung Internet", Firefox: "Firefox", FxiOS: "Firefox", CriOS: "Chrome", HeadlessChrome: "Chrome", Chrome: "Chrome", Version: "Safari" };
const SYSTEMS = { Android: "Android", iPhone: "iPhone", iPad: "iPad", Tizen: "Tizen", Web0S: "webOS", CrOS: "ChromeOS", Windows: "Windows", "Mac OS X": "macOS", Linux: "Linux" };

/** A browser by its name, version and system; everything else as it calls itself, nobody as unknown. */
export function agentName(agent) {
  if (!agent) return t.unknownAgent;
  if (!agent.startsWith("Mozilla/5.0 (")) return agent;
  for (const [mark, name] of Object.entries(BROWSERS)) {
    const version = agent.match(new RegExp(` ${mark}/(\\d{1,4})`));
    if (!version) continue;
    const system = Object.keys(SYSTEMS).find((word) => agent.includes(word));
    return [`${name} ${version[1]}`, SYSTEMS[system]].filter(Boolean).join(" · ");
  }
  return agent;
}

/** The same as an element, with all that the agent says as its tooltip where that is more. */
export function agentLabel(agent) {
  const name = agentName(agent);
  return h("bdi", { class: "agent", text: name, title: agent && name !== agent ? agent : null });
}
