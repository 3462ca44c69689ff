/** What can be done to streams and clients: each asks first, needs an admin, and says what came of it. */

import { clientPath, remove, streamPath } from "./api.js";
import { ask, note } from "./feedback.js";
import { count } from "./format.js";
import { nameOf } from "./names.js";
import { session } from "./session.js";
import { t } from "./texts.js";

/**
 * Do something that only an admin may: sign in if need be, and tell what came of it. `words(answer)` is what is noted.
 * Resolves to the answer, or null if it was not done.
 */
export async function attempt(call, words = () => "") {
  if (!(await session.ensureAdmin())) return null;
  try {
    const answer = await call();
    const told = words(answer);
    if (told) note(told);
    return answer;
  } catch (error) {
    if (error.status === 401) await session.load().catch(() => {}); // the session has run out
    note(t.failed(error.message), { bad: true });
    return null;
  }
}

/** Stop a stream. Resolves to true if it was done. */
export async function stopStream(stream) {
  const name = nameOf(stream);
  const body = t.stopBody(stream.client_count);
  if (!(await ask({ title: t.stopTitle, subject: name, body, confirm: t.stopConfirm }))) return false;
  const done = await attempt(
    () => remove(streamPath(stream.stream_id)),
    (answer) => t.stopDone(name, answer.clients_ended && count(answer.clients_ended)),
  );
  return done !== null;
}

/** Disconnect one client of a stream. Resolves to true if it was done. */
export async function kickClient(stream, clientId, name) {
  if (!(await ask({ title: t.kickTitle, subject: name, body: t.kickBody, confirm: t.kickConfirm }))) return false;
  const done = await attempt(() => remove(clientPath(stream.stream_id, clientId)), () => t.kickDone(name));
  return done !== null;
}
