/** Coupons in the console: the form to issue one, the claimable ones, and the ledger's entry. */

import { ask } from "../../ask.js";
import { addressWords, endButton, fillNumbers, foot, legend, makeCard } from "../../console/offer-card.js";
import { t } from "../../i18n.js";
import { drawStock, stockBar } from "../../stock-bar.js";
import { ISSUE } from "./issue-form.js";
import { discountWords, minimumWords } from "./terms.js";

/** The coupons' entry in the ledger. */
const ACCOUNT = {
  kind: "coupons",
  id: "coupon",
  title: "coupon",
  isNews: (type) => type.startsWith("coupon_"),
  card: [],
  totals: ["claimed", "redeemed", "discount_fen"],
  figures: ["claimed", "redeemed", "discount_fen", "stock"],
};

/** Put them into the page. */
export function mount({ push, mayAnchor }) {
  const stop = async ({ coupon, title }, control) => {
    if (!(await ask(t("stop_coupon"), t("stop_coupon_sure", { title }), t("stop_coupon")))) return;
    await push("stop_coupon", { coupon }, { control, confirm: t("done") });
  };
  return {
    launch: ISSUE,
    offers: {
      list: ({ coupons }) => coupons.toReversed(), // the newest first
      key: ({ coupon }) => `coupon ${coupon}`,
      make: (view) => makeCoupon(view, mayAnchor && stop),
      update: updateCoupon,
    },
    account: ACCOUNT,
  };
}

function makeCoupon(view, stop) {
  const { coupon, title, terms, per_user_max, users_per_address_max = 0, claimable_until_ms } = view;
  const what = discountWords(terms);
  return makeCard(
    { class: "coupon", "data-coupon": coupon, "data-state": "claimable" },
    "ticket",
    title,
    ["claimable_in", claimable_until_ms],
    [t("number", { number: coupon }), title === what ? "" : what, minimumWords(terms), t("per_user_meta", { count: per_user_max }), addressWords(users_per_address_max)],
    stockBar(["taken", "left"]),
    foot(legend(["left", "left", t("coupons_left")]), stop && endButton("stop", "stop_coupon", (control) => stop(view, control))),
  );
}

function updateCoupon(card, { stock, left }) {
  fillNumbers(card, { left: `${left} / ${stock}` });
  drawStock(card.querySelector(".stock-bar"), { taken: stock - left, left }, `${t("coupons_left")}: ${left} / ${stock}`);
}
