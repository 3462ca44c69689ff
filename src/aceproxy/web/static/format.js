/** Numbers as people read them. All functions are pure; anything that is not a finite number becomes an en dash. */

import { t } from "./texts.js";

export const NOTHING = "–";
const GLUE = "\u00a0"; // a number and its unit stay on one line

const whole = new Intl.NumberFormat(t.lang, { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat(t.lang, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const hundredths = new Intl.NumberFormat(t.lang, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const clock = new Intl.DateTimeFormat(t.lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const calendar = new Intl.DateTimeFormat(t.lang, { dateStyle: "medium", timeStyle: "short" });

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

function scaled(value, units) {
  let step = 0;
  while (value >= 999.5 && step < units.length - 1) {
    value /= 1000;
    step += 1;
  }
  const format = step === 0 || value >= 100 ? whole : value >= 10 ? tenths : hundredths;
  return [format.format(value), units[step]];
}

/** A count. */
export function count(value) {
  return isNumber(value) ? whole.format(value) : NOTHING;
}

/** A ratio, with one decimal. */
export function ratio(value) {
  return isNumber(value) ? tenths.format(value) : NOTHING;
}

/** Bits per second as `[number, unit]`, for a large number with a small unit. */
export function rateParts(bps) {
  return isNumber(bps) ? scaled(Math.max(0, bps), t.units.rate) : [NOTHING, t.units.rate[2]];
}

/** Bits per second in one string. */
export function rate(bps) {
  return isNumber(bps) ? scaled(Math.max(0, bps), t.units.rate).join(GLUE) : NOTHING;
}

/** Bytes, in decimal units. */
export function size(bytes) {
  return isNumber(bytes) ? scaled(Math.max(0, bytes), t.units.size).join(GLUE) : NOTHING;
}

/** A short time in seconds with one decimal, as `[number, unit]`. */
export function secondsParts(value) {
  return [isNumber(value) ? tenths.format(Math.max(0, value)) : NOTHING, t.units.second];
}

/** The same in one string. */
export function seconds(value) {
  return isNumber(value) ? secondsParts(value).join(GLUE) : NOTHING;
}

/** A span of seconds in its two largest units. */
export function span(value) {
  if (!isNumber(value)) return NOTHING;
  const all = Math.max(0, Math.floor(value));
  const parts = [Math.floor(all / 86400), Math.floor(all / 3600) % 24, Math.floor(all / 60) % 60, all % 60];
  const first = parts.findIndex((part) => part > 0);
  if (first === -1 || first === 3) return parts[3] + GLUE + t.units.span[3];
  const tail = parts[first + 1] ? GLUE + parts[first + 1] + GLUE + t.units.span[first + 1] : "";
  return parts[first] + GLUE + t.units.span[first] + tail;
}

/** An ISO time as local wall clock. */
export function timeOfDay(iso) {
  const moment = new Date(iso);
  return Number.isNaN(moment.getTime()) ? NOTHING : clock.format(moment);
}

/** An ISO time as local date and time, to the minute. */
export function dateTime(iso) {
  const moment = new Date(iso);
  return Number.isNaN(moment.getTime()) ? NOTHING : calendar.format(moment);
}

/** Seconds that have passed since an ISO time, by this machine's clock. */
export function since(iso) {
  const moment = Date.parse(iso);
  return Number.isNaN(moment) ? null : Math.max(0, (Date.now() - moment) / 1000);
}

/** The beginning and end of a long id. */
export function shortId(id) {
  return id.length > 16 ? `${id.slice(0, 8)}…${id.slice(-4)}` : id;
}

/** An engine's address without its scheme. */
export function hostOf(url) {
  return url.replace(/^https?:\/\//, "");
}
