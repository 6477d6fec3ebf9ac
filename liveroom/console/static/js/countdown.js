/** Remaining time by the server's clock, because a browser's clock may be wrong by hours. */

import { h } from "./dom.js";
import { t } from "./i18n.js";

const DRAW_EVERY_MS = 200;
const DAY_S = 86_400;

/** Milliseconds as "0:09", "12:34" or "1:02:03", whole seconds rounded up; days in words. Never below zero. */
export function timeLeft(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  if (seconds >= 2 * DAY_S) return t("days", { count: Math.floor(seconds / DAY_S) });
  const two = (count) => String(count).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

/** An element that counts down to `untilMs` (Unix ms by the server's clock) as long as it is on the page; needs `runCountdowns`. */
export function countdown(untilMs, attributes = {}) {
  return h("span", { role: "timer", ...attributes, class: `countdown ${attributes.class ?? ""}`.trim(), "data-until-ms": untilMs });
}

/** Keep every countdown of the page up to date by `nowMs()`; call it once. Returns a function that draws at once, for new elements. */
export function runCountdowns(nowMs) {
  const draw = () => {
    for (const element of document.querySelectorAll("[data-until-ms]")) {
      const leftMs = Number(element.dataset.untilMs) - nowMs();
      const words = timeLeft(leftMs);
      if (element.textContent !== words) element.textContent = words;
      element.classList.toggle("is-near", leftMs <= 10_000);
    }
  };
  setInterval(draw, DRAW_EVERY_MS);
  return draw;
}
