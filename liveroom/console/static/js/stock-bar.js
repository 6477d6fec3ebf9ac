/** A bar that shows a stock: each kind of unit is as wide as its share. */

import { h } from "./dom.js";

/** Make an empty bar; `kinds` are its parts from left to right, which are also their classes: `stockBar(["sold", "held", "available"])`. */
export function stockBar(kinds) {
  const bar = h("div", { class: "stock-bar", role: "img" }, kinds.map((kind) => h("i", { class: kind, "data-kind": kind })));
  drawStock(bar, {}, "");
  return bar;
}

/** Show the number of units of each kind; `words` is the same for screen readers. */
export function drawStock(bar, units, words) {
  for (const part of bar.children) {
    const count = units[part.dataset.kind] ?? 0;
    part.hidden = !count;
    part.style.flexGrow = count;
  }
  if (bar.getAttribute("aria-label") !== words) bar.setAttribute("aria-label", words);
}
