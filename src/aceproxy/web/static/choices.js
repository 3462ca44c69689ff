/** What the user chose for this browser: kept where the browser allows it, else for as long as the page is open. */

const PREFIX = "aceproxy.";
const here = new Map();

export const choices = {
  /** What was chosen, or null. */
  get(name) {
    try {
      return localStorage.getItem(PREFIX + name) ?? here.get(name) ?? null;
    } catch {
      return here.get(name) ?? null; // storage is refused: a private window, a policy
    }
  },

  /** Keep a choice. */
  set(name, value) {
    here.set(name, value);
    try {
      localStorage.setItem(PREFIX + name, value);
    } catch {
      // see above: it holds until the page is left
    }
  },
};
