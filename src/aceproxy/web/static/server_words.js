/**
 * What the server says, in the language of the page: its sentences by their reason, and the details in brackets behind
 * them by their English words. What a catalogue does not know stays as the server said it.
 */

import { t } from "./texts.js";

const DEPTH = 4; // details within details
const NOTHING = /^\s*$/;

/** The patterns of a catalogue's details, made when the first one is needed; those with the most words come first. */
let patterns = null;

function compiled() {
  patterns ??= Object.entries(t.serverDetails)
    .map(([english, own]) => ({ english: english.split("{}"), own }))
    .sort((a, b) => b.english.join("").length - a.english.join("").length)
    .map(({ english, own }) => {
      const parts = english.map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
      return { pattern: new RegExp(`^${parts.join("(.*?)")}$`, "s"), own };
    });
  return patterns;
}

function filled(own, values) {
  let next = 0;
  return own.replace(/\{(\d?)\}/g, (_all, place) => values[place ? place - 1 : next++] ?? "");
}

/** A detail in the language of the page; one that is made of several in each of its parts. */
export function detailWords(detail, depth = DEPTH) {
  if (depth === 0 || NOTHING.test(detail)) return detail;
  for (const { pattern, own } of compiled()) {
    const found = pattern.exec(detail);
    if (found) return filled(own, found.slice(1).map((part) => detailWords(part, depth - 1)));
  }
  for (const mark of ["; ", ", "]) {
    const parts = detail.split(mark);
    if (parts.length > 1) return parts.map((part) => detailWords(part, depth - 1)).join(mark);
  }
  const named = /^([^:]+: )(.+)$/s.exec(detail); // which engine, which call
  return named ? named[1] + detailWords(named[2], depth - 1) : detail;
}

/** The detail that stands in brackets behind a sentence of the server; empty where there is none. */
export function detailOf(message) {
  return /[.?] \((.+)\)$/s.exec(message)?.[1] ?? "";
}

/** What the server says of a reason, as in the errors of the API and in what ended. */
export function serverWords({ reason, message, detail = detailOf(message ?? "") }) {
  const own = t.serverMessages[reason];
  if (own === undefined) return message ?? "";
  return detail ? `${own} (${detailWords(detail)})` : own;
}
