/** Hearts that float up when people tap. */

import { byId, h, icon } from "../../dom.js";

const HEARTS_MAX = 40; // on the screen at once
const COLORS = 5;
const quiet = matchMedia("(prefers-reduced-motion: reduce)");

/** Let `count` hearts float; none if the user prefers less motion. */
export function floatHearts(count) {
  if (quiet.matches || document.hidden) return;
  const hearts = byId("hearts");
  for (let left = count; left > 0 && hearts.children.length < HEARTS_MAX; left -= 1) {
    const heart = h("span", { class: `heart heart-${Math.floor(Math.random() * COLORS)}` }, icon("heart"));
    heart.style.setProperty("--drift", `${Math.round(Math.random() * 80 - 40)}px`);
    heart.style.setProperty("--size", `${Math.round(18 + Math.random() * 16)}px`);
    heart.style.setProperty("--wait", `${Math.round(Math.random() * 300)}ms`);
    heart.addEventListener("animationend", () => heart.remove());
    hearts.append(heart);
  }
}
