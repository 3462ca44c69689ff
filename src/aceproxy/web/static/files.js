/** The files of a recording that has several, and its name: what an engine tells to those who may view. */

import { get, watchUrl } from "./api.js";
import { h, outside, show } from "./dom.js";
import { size } from "./format.js";

const LIMIT_MS = 15000; // an engine may have to look it up
const MOST = 500; // shown; a torrent may have thousands

export class Files {
  /** `named(name)` hears what the file that plays is called. */
  constructor(root, link, named) {
    this.root = root;
    this.link = link;
    this.named = named;
    this.asked = false;
  }

  /** Ask once, and show what there is to choose from. */
  async show() {
    if (this.asked) return;
    this.asked = true;
    const { query } = this.link;
    let told;
    try {
      told = await get(`api/aceproxy/files?${new URLSearchParams(query)}`, { limitMs: LIMIT_MS });
    } catch {
      return; // who may only play is told nothing, and an engine need not know
    }
    const files = Array.isArray(told.files) ? told.files.slice(0, MOST) : [];
    const own = Number(query.find(([name]) => name === "_idx")?.[1] ?? 0);
    const playing = files.find((file) => file.index === own);
    const name = (files.length > 1 ? playing?.name : null) || told.title || playing?.name;
    if (name) this.named(name);
    if (files.length > 1) this.list(files, own);
  }

  list(files, own) {
    const others = this.link.query.filter(([name]) => name !== "_idx");
    const entry = (file) => {
      const query = file.index ? [...others.slice(0, 1), ["_idx", String(file.index)], ...others.slice(1)] : others;
      const here = file.index === own;
      const name = outside("", file.name || String(file.index));
      const bytes = file.size_bytes ? h("span", { class: "quiet small", text: size(file.size_bytes) }) : null;
      return h("li", {}, h("a", { href: watchUrl(query), "aria-current": here ? "page" : null }, name), bytes);
    };
    this.root.append(h("ul", {}, ...files.map(entry)));
    show(this.root, true);
  }
}
