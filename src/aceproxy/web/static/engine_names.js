/** What engines are called: by their labels, as far as the feed has told them, else by their addresses. */

import { hostOf } from "./format.js";

const labels = new Map();

/** Take the engines that the feed knows now. */
export function learnEngines(engines) {
  labels.clear();
  for (const { url, label } of engines) if (label) labels.set(url, label);
}

/** The name of the engine with this address; whatever else stands in its place stays. */
export const engineName = (url) => labels.get(url) ?? hostOf(url);

/** The address that a name hides, null where the name is the address. */
export const hiddenAddress = (url) => (url && engineName(url) !== hostOf(url) ? hostOf(url) : null);
