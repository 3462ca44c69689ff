/**
 * Small tools for building and patching the page in place.
 *
 * Rules: outside text only ever becomes a text node, no markup is parsed from strings, and an element that is already
 * right is not touched, so that focus, selection and open details survive an update.
 */

const SVG_NAMESPACE = "http://www.w3.org/2000/svg";

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== false));
  return node;
}

/**
 * Build an HTML element: `text` is set as text, `on…` are listeners, everything else is an attribute. Children that are
 * null or false are left out.
 */
export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for an SVG element. */
export function svg(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG_NAMESPACE, tag), props, children);
}

/** Build an element for outside text: isolated, so that writing direction marks in it cannot reorder its neighbours. */
export function outside(className = "", text = "") {
  return h("bdi", { class: className, text });
}

/** Set an element's text; the text node is kept, so a selection elsewhere in the document is not disturbed. */
export function setText(node, text) {
  const wanted = String(text ?? "");
  const only = node.firstChild;
  if (only && only === node.lastChild && only.nodeType === Node.TEXT_NODE) {
    if (only.data !== wanted) only.data = wanted;
  } else if (node.textContent !== wanted) {
    node.textContent = wanted;
  }
}

/** Set an attribute if it differs; null or undefined takes it away. */
export function setAttribute(node, name, value) {
  if (value === null || value === undefined) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, value);
  }
}

/** Show or hide an element. */
export function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

/** Give focus to `target` if the element that had it has left the document. */
export function rescueFocus(target) {
  if (document.activeElement === document.body || document.activeElement === null) target.focus({ preventScroll: true });
}

/**
 * A list of elements that follows a list of values, keyed.
 *
 * `create(value)` returns a view: `{ root, update(value) }`. Views of values that stay are kept and only moved when
 * their order changed; the element that has focus keeps it. Values with a key that came before are left out.
 */
export class KeyedList {
  constructor(parent, keyOf, create) {
    this.parent = parent;
    this.keyOf = keyOf;
    this.create = create;
    this.views = new Map();
  }

  update(values) {
    const wanted = new Map();
    for (const value of values) {
      const key = this.keyOf(value);
      if (!wanted.has(key)) wanted.set(key, value);
    }
    for (const [key, view] of this.views) {
      if (wanted.has(key)) continue;
      view.root.remove();
      this.views.delete(key);
    }
    const focused = document.activeElement;
    let cursor = this.parent.firstElementChild;
    for (const [key, value] of wanted) {
      let view = this.views.get(key);
      if (view === undefined) {
        view = this.create(value);
        this.views.set(key, view);
      }
      view.update(value);
      if (view.root === cursor) cursor = cursor.nextElementSibling;
      else this.parent.insertBefore(view.root, cursor);
    }
    if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
  }
}
