/** Which page is shown, kept in the address after `#`, so that going back, reloading and sending a link work. */

/** Read an address: `#/stream/<id>` becomes `{ name: "stream", argument: "<id>" }`; what is not known, the first page. */
export function readRoute(hash, names) {
  const [name = "", argument = ""] = hash.replace(/^#\/?/, "").split("/");
  if (!names.includes(name)) return { name: names[0], argument: "" };
  try {
    return { name, argument: decodeURIComponent(argument) };
  } catch {
    return { name, argument: "" }; // a stray % that encodes nothing
  }
}

/** The address of a page. */
export const routeTo = (name, argument = "") => `#/${name}${argument ? `/${encodeURIComponent(argument)}` : ""}`;

/** Go to a page. */
export function go(name, argument = "") {
  location.hash = routeTo(name, argument);
}

export class Router {
  /** `show(name, argument)` is called for the page of the address, now and whenever it changes. */
  constructor(names, show) {
    this.names = names;
    this.show = show;
  }

  start() {
    addEventListener("hashchange", () => this.follow());
    this.follow();
  }

  follow() {
    const { name, argument } = readRoute(location.hash, this.names);
    this.show(name, argument);
  }
}
