/** An order's price, calculated beforehand for display; the room's answer is what counts. */

/** The discount on `spend` fen, rounded down like the room's; 0 below the coupon's minimum. */
export function discountFen({ amount_fen = 0, percent_off = 0, min_spend_fen = 0, discount_max_fen = 0 }, spend) {
  if (spend < min_spend_fen) return 0;
  if (amount_fen) return Math.min(amount_fen, spend);
  const hundreds = Math.floor(spend / 100); // apart, so that no product is beyond what a number holds exactly
  const discount = hundreds * percent_off + Math.floor(((spend - hundreds * 100) * percent_off) / 100);
  return discount_max_fen ? Math.min(discount, discount_max_fen) : discount;
}

/** Coupons that an order could use now, the largest discount first; coupons with a higher minimum come last. */
export function usable(coupons, spend, nowMs) {
  const open = coupons.filter(({ order = "", valid_until_ms }) => !order && valid_until_ms > nowMs);
  const off = ({ terms }) => discountFen(terms, spend);
  return open.sort((one, other) => off(other) - off(one) || one.valid_until_ms - other.valid_until_ms);
}
