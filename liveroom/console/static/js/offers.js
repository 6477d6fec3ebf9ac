/** Offers in words. */

import { lang, t } from "./i18n.js";
import { shortMoney } from "./money.js";

/** A coupon's discount: "¥20 off", "15% off" (in Chinese 8.5折), "15% off, at most ¥30". */
export function discountWords({ amount_fen = 0, percent_off = 0, discount_max_fen = 0 }) {
  if (amount_fen) return t("takes_off", { amount: shortMoney(amount_fen) });
  if (percent_off === 100) return t("takes_off_all") + bound(discount_max_fen);
  const percent = lang === "zh" ? String((100 - percent_off) / 10) : String(percent_off);
  return t("takes_off_percent", { percent }) + bound(discount_max_fen);
}

function bound(fen) {
  return fen ? t("takes_off_at_most", { amount: shortMoney(fen) }) : "";
}

/** From what spend on a coupon counts: "on orders of ¥99 or more", "no minimum". */
export function minimumWords({ min_spend_fen = 0 }) {
  return min_spend_fen ? t("min_spend", { amount: shortMoney(min_spend_fen) }) : t("min_spend_none");
}

/** The condition for grabbing an envelope: "Say “hello” in chat first", "Watch for 30 s first"; empty when anyone may. */
export function conditionWords({ keyword = "", watched_s = 0 } = {}) {
  const words = [keyword && t("condition_keyword", { keyword }), watched_s && t("condition_watched", { count: watched_s })];
  return words.filter(Boolean).join(t("and"));
}

/** A stock in words: "12 available, 3 held, 5 sold". */
export function stockWords({ available, held, sold }) {
  return t("stock_words", { available, held, sold });
}

const UNITS_MS = { d: 86_400_000, h: 3_600_000, min: 60_000, s: 1_000 };

/** A duration in the largest unit that it is whole in: 90000 is "90 s", 120000 is "2 min". */
export function durationWords(ms) {
  const unit = Object.keys(UNITS_MS).find((name) => ms && ms % UNITS_MS[name] === 0) ?? "s";
  return `${ms / UNITS_MS[unit]} ${t(`unit_${unit}`)}`;
}
