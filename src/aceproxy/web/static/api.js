/** Calls of AceProxy's API. Every call has a time limit; every failure is an ApiError with words for people. */

import { serverWords } from "./server_words.js";
import { t } from "./texts.js";

/** Paths are relative to the page, so that the dashboard works under a sub-path of a reverse proxy as well. */
const base = new URL(".", document.baseURI);

let csrf = null;

/** Take the token that changing calls must carry; null where none is needed. */
export function setCsrf(token) {
  csrf = token;
}

/** The absolute address of a path of this server. */
export const url = (path) => new URL(path, base).href;

/**
 * Why a call failed. `kind`: "unreachable" (no answer, or none in time) or "refused" (an answer that says no, or one
 * that cannot be understood); `reason` is the server's name for it, where it told one.
 */
export class ApiError extends Error {
  constructor(kind, message, status = 0, reason = "") {
    super(message);
    this.name = "ApiError";
    this.kind = kind;
    this.status = status;
    this.reason = reason;
  }
}

async function call(method, path, { limitMs, headOnly = false, body = null }) {
  let answer;
  let text;
  const giveUp = new AbortController();
  const timer = setTimeout(() => giveUp.abort(new DOMException("", "TimeoutError")), limitMs);
  const headers = { Accept: "application/json" };
  if (body !== null) headers["Content-Type"] = "application/json";
  if (csrf && method !== "GET") headers["X-CSRF-Token"] = csrf;
  try {
    answer = await fetch(new URL(path, base), {
      method,
      cache: "no-store",
      headers,
      body: body === null ? undefined : JSON.stringify(body),
      signal: giveUp.signal,
    });
    if (headOnly && answer.ok) {
      giveUp.abort(); // of a stream the rest would never end
      return [answer, {}];
    }
    text = await answer.text();
  } catch (error) {
    throw new ApiError("unreachable", error.name === "TimeoutError" ? t.noAnswerInTime(limitMs / 1000) : t.noAnswer);
  } finally {
    clearTimeout(timer);
  }
  try {
    return [answer, text === "" ? {} : JSON.parse(text)];
  } catch {
    return [answer, null];
  }
}

const isObject = (body) => body !== null && typeof body === "object";

/**
 * GET a JSON object. With `anyStatus`, an object that comes with an error status is taken too (health answers 503 when
 * no engine is up, and still says why). With `headOnly` a good answer is not read: `{}` is returned.
 */
export async function get(path, { limitMs = 5000, anyStatus = false, headOnly = false } = {}) {
  const [answer, body] = await call("GET", path, { limitMs, headOnly });
  if (isObject(body) && body.error === undefined && (answer.ok || anyStatus)) return body;
  throw refusal(answer, body);
}

/** POST or PATCH a JSON object; returns the answer's. */
export async function send(method, path, body = {}, { limitMs = 10000 } = {}) {
  const [answer, told] = await call(method, path, { limitMs, body });
  if (answer.ok && isObject(told)) return told;
  throw refusal(answer, told);
}

/** DELETE something; returns the answer's JSON object. */
export async function remove(path, { limitMs = 10000 } = {}) {
  const [answer, body] = await call("DELETE", path, { limitMs });
  if (answer.ok && isObject(body)) return body;
  throw refusal(answer, body);
}

function refusal(answer, body) {
  const told = body?.error?.message;
  const gateway = typeof told !== "string" && [502, 503, 504].includes(answer.status);
  // A reverse proxy in front answers so when AceProxy behind it is gone.
  if (gateway) return new ApiError("unreachable", t.gatewayAnswer(answer.status), answer.status);
  const message = typeof told === "string" ? serverWords(body.error) : t.oddAnswer(answer.status);
  return new ApiError("refused", message, answer.status, body?.error?.reason ?? "");
}

/** The path of a stream. */
export const streamPath = (streamId) => `api/aceproxy/streams/${encodeURIComponent(streamId)}`;

/** The path of a client of a stream. */
export const clientPath = (streamId, clientId) => `${streamPath(streamId)}/clients/${encodeURIComponent(clientId)}`;

/** The absolute address of a path with `query`, pairs of name and value. */
export function withQuery(path, query) {
  const address = new URL(path, base);
  for (const [name, value] of query) address.searchParams.append(name, value);
  return address.href;
}

/** The absolute address under which players get a stream; `query` are pairs of name and value. */
export const playUrl = (query) => withQuery("ace/getstream", query);

/** The same stream as HLS. */
export const hlsUrl = (query) => withQuery("ace/manifest.m3u8", query);

/** The page that plays a stream in the browser. */
export const watchUrl = (query) => withQuery("watch", query);
