/** The stock of a flash sale. */

import { t } from "../../i18n.js";

/** A stock in words: "12 left, 3 in checkout, 5 sold". */
export function stockWords({ available, held, sold }) {
  return t("stock_words", { available, held, sold });
}

/** True if nothing can be bought any more: the sale is closed, or all units are sold. */
export function isOver({ state, available, held }) {
  return state === "closed" || (state === "open" && !available && !held);
}
