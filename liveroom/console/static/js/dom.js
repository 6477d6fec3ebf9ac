/** Small helpers to build and update the page. Text always goes in as text, never as markup. */

const SVG = "http://www.w3.org/2000/svg";

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** Make an element: `h("button", {class: "x", onclick: f}, "text", child)`; `null` children and attributes are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An icon of `icons.svg`; screen readers ignore it. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `/static/icons.svg#${name}`);
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

/** Make an SVG element. */
export function svg(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

const lists = new WeakMap();

/**
 * Make `parent` show `items` in their order, with one child each. A child is made once per key and stays as long as its item is there,
 * so that focus, scroll position and screen readers stay in place. `update(child, item)` runs for each child.
 */
export function reconcile(parent, items, { key, make, update = () => {} }) {
  const known = lists.get(parent) ?? new Map();
  const next = new Map();
  let place = parent.firstChild;
  for (const item of items) {
    const name = key(item);
    const child = known.get(name) ?? make(item);
    known.delete(name);
    next.set(name, child);
    update(child, item);
    if (child === place) place = place.nextSibling;
    else parent.insertBefore(child, place);
  }
  for (const child of known.values()) child.remove();
  lists.set(parent, next);
}

/** Empty `parent`, so that the next `reconcile` makes every child again, for example in another language. */
export function forget(parent) {
  lists.delete(parent);
  parent.replaceChildren();
}

/** Give `element` the children that `make` returns, unless it has those of the same `key` already. */
export function fill(element, key, make) {
  if (element.dataset.key === key) return;
  element.dataset.key = key;
  element.replaceChildren(...make());
}

/** Enable or disable a button without taking the focus from it; see `whenReady`. `busy`: its action is under way. */
export function ready(button, is, busy = false) {
  button.setAttribute("aria-disabled", String(!is));
  button.setAttribute("aria-busy", String(busy));
}

/** A click handler that calls `act` unless the button is disabled by `ready`. */
export function whenReady(act) {
  return ({ currentTarget }) => currentTarget.getAttribute("aria-disabled") !== "true" && act();
}

/** Call `draw` soon, once for many calls in between. */
export function soon(draw, delayMs = 40) {
  let timer = null;
  return () => {
    timer ??= setTimeout(() => {
      timer = null;
      draw();
    }, delayMs);
  };
}

const TOASTS_MAX = 4;

/** Show a short message and return it; `kind` is "good" or "bad", which pass, or "wait", which stays until it is removed. */
export function toast(text, kind = "good") {
  const toasts = byId("toasts");
  const shown = h("p", { class: `toast ${kind}`, role: kind === "bad" ? "alert" : "status" }, text);
  while (toasts.children.length >= TOASTS_MAX) (toasts.querySelector(":not(.wait)") ?? toasts.firstChild).remove();
  toasts.append(shown);
  if (kind !== "wait") setTimeout(() => shown.remove(), kind === "bad" ? 6_000 : 2_500);
  return shown;
}

/** Text with `code` in backticks, as elements. */
export function withCode(text) {
  return text.split("`").map((part, index) => (index % 2 ? h("code", {}, part) : part));
}
