/** Durations in words. */

import { t } from "./i18n.js";

const UNITS_MS = { d: 86_400_000, h: 3_600_000, min: 60_000, s: 1_000 };

/** A duration in the largest unit without a fraction: 90000 is "90 s", 120000 is "2 min". */
export function durationWords(ms) {
  const unit = Object.keys(UNITS_MS).find((name) => ms && ms % UNITS_MS[name] === 0) ?? "s";
  return `${ms / UNITS_MS[unit]} ${t(`unit_${unit}`)}`;
}

/** Words for the time until something opens. */
export function opensWords(ms) {
  return ms ? durationWords(ms) : t("at_once");
}
