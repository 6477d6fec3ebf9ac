/** The terms of a coupon in words. */

import { lang, t } from "../../i18n.js";
import { shortMoney } from "../../money.js";

/** A coupon's discount: "¥20 off", "15% off" (in Chinese 8.5折), "15% off, up to ¥30". */
export function discountWords({ amount_fen = 0, percent_off = 0, discount_max_fen = 0 }) {
  if (amount_fen) return t("takes_off", { amount: shortMoney(amount_fen) });
  if (percent_off === 100) return t("takes_off_all") + bound(discount_max_fen);
  const percent = lang === "zh" ? String((100 - percent_off) / 10) : String(percent_off);
  return t("takes_off_percent", { percent }) + bound(discount_max_fen);
}

function bound(fen) {
  return fen ? t("takes_off_at_most", { amount: shortMoney(fen) }) : "";
}

/** A coupon's minimum spend: "orders from ¥99", "no minimum". */
export function minimumWords({ min_spend_fen = 0 }) {
  return min_spend_fen ? t("min_spend", { amount: shortMoney(min_spend_fen) }) : t("min_spend_none");
}
