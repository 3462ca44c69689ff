/**
 * Signing in: with the secret that the link brings along after `#` (which no browser sends to a server, so that it
 * stands in no log), or by typing. Then on to the dashboard.
 */

import { serverWords } from "./server_words.js";
import { t } from "./texts.js";

const form = document.getElementById("form");
const field = document.getElementById("secret");
const button = document.getElementById("button");
const problem = document.getElementById("problem");

document.documentElement.lang = t.lang;
document.getElementById("label").textContent = t.session.secretOrToken;
document.getElementById("hint").textContent = t.session.hint;
button.textContent = t.session.signIn;

/** Return why signing in failed, nothing if it worked. */
async function signIn(secret) {
  let answer;
  try {
    answer = await fetch("api/session", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ password: secret }),
      signal: AbortSignal.timeout(20000),
    });
  } catch {
    return t.noAnswerHere;
  }
  if (answer.ok) return "";
  const told = await answer.json().catch(() => null);
  return told?.error?.message ? serverWords(told.error) : String(answer.status);
}

async function attempt(secret) {
  button.disabled = true;
  problem.hidden = true;
  const why = await signIn(secret);
  if (!why) {
    location.replace("./");
    return;
  }
  problem.textContent = why;
  problem.hidden = false;
  button.disabled = false;
  field.select();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(field.value);
});

/** Use what the address brings along; true if it does. */
function useAddress() {
  const brought = location.hash.slice(1);
  if (!brought) return false;
  history.replaceState(null, "", location.pathname); // the secret shall not stay in the address bar and the history
  attempt(brought);
  return true;
}

addEventListener("hashchange", useAddress); // the link was opened in a tab that shows this page already
if (!useAddress()) field.focus();
