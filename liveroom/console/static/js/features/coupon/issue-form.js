/** The form that issues a coupon. */

import { addressField, choiceField, durationField, inputField } from "../../console/launch-fields.js";
import { DAY_MS, PER_ADDRESS, STOCK_MAX } from "../../console/launch-limits.js";
import { durationWords } from "../../duration.js";
import { t } from "../../i18n.js";
import { timesMoney } from "../../money.js";
import { discountWords, minimumWords } from "./terms.js";

const YEAR_MS = 366 * DAY_MS;

/** How an anchor issues a coupon. */
export const ISSUE = {
  kind: "coupon",
  title: "coupon",
  picture: "ticket",
  command: "issue_coupon",
  inputs: {
    title: "title",
    terms: "kind",
    "terms.amount_fen": "amount",
    "terms.percent_off": "percent",
    "terms.discount_max_fen": "discount_max",
    "terms.min_spend_fen": "min_spend",
    stock: "stock",
    per_user_max: "per_user",
    users_per_address_max: "users_per_address",
    claimable_ms: "claimable_for",
    valid_ms: "valid_for",
  },
  controls: () => [
    choiceField("coupon_kind", "kind", { amount: "kind_amount", percent: "kind_percent" }),
    inputField("coupon_amount", "amount", { inputmode: "decimal", maxlength: 16, placeholder: "20.00" }, { when: "kind=amount" }),
    inputField("coupon_percent", "percent", { inputmode: "numeric", maxlength: 3, placeholder: "15" }, { when: "kind=percent" }),
    inputField("discount_max", "discount_max", { inputmode: "decimal", maxlength: 16, "data-t-placeholder": "no_bound" }, { when: "kind=percent" }),
    inputField("coupon_min_spend", "min_spend", { inputmode: "decimal", maxlength: 16, "data-t-placeholder": "min_spend_none" }),
    inputField("coupon_stock", "stock", { inputmode: "numeric", maxlength: 7, placeholder: "100" }),
    inputField("per_user", "per_user", { inputmode: "numeric", maxlength: 4, value: 1 }),
    durationField("claimable_for", "claimable_for", 10, "min", "d"),
    durationField("valid_for", "valid_for", 1, "d", "d"),
    addressField(),
    inputField("offer_title", "title", { maxlength: 120, "data-t-placeholder": "coupon_title_hint" }),
  ],
  read(reading) {
    const byAmount = reading.choice("kind") === "amount";
    const reduction = byAmount
      ? { amount_fen: reading.fen("amount", { min: 1 }) }
      : { percent_off: reading.count("percent", { min: 1, max: 100 }), discount_max_fen: reading.fen("discount_max", { empty: 0 }) };
    const terms = { ...reduction, min_spend_fen: reading.fen("min_spend", { empty: 0 }) };
    return {
      title: reading.text("title") || (isWhole(terms) ? discountWords(terms) : ""),
      terms,
      stock: reading.count("stock", { min: 1, max: STOCK_MAX }),
      per_user_max: reading.count("per_user", { min: 1, max: 100 }),
      users_per_address_max: reading.count("users_per_address", PER_ADDRESS),
      claimable_ms: reading.ms("claimable_for", { min: 1_000, max: YEAR_MS }),
      valid_ms: reading.ms("valid_for", { min: 1_000, max: YEAR_MS }),
    };
  },
  preview({ terms }) {
    return isWhole(terms) ? `${discountWords(terms)} · ${minimumWords(terms)}` : "";
  },
  review({ title, terms, stock, per_user_max, users_per_address_max, claimable_ms, valid_ms }) {
    const each = terms.amount_fen || terms.discount_max_fen;
    const lines = [
      [t("coupon_kind"), `${discountWords(terms)} · ${minimumWords(terms)}`],
      [t("coupon_stock"), stock],
      [t("per_user"), per_user_max],
      [t("users_per_address"), users_per_address_max || t("any_number")],
      [t("claimable_for"), durationWords(claimable_ms)],
      [t("valid_for"), durationWords(valid_ms)],
      [t("offer_title"), title],
    ];
    const free = terms.amount_fen >= terms.min_spend_fen || terms.percent_off === 100;
    return {
      sum: each ? t("coupon_sum", { amount: timesMoney(each, stock) }) : t("coupon_sum_unbounded", { count: stock }),
      lines,
      note: free ? t("note_free_orders") : "",
    };
  },
};

const isWhole = ({ amount_fen, percent_off, discount_max_fen = 0, min_spend_fen }) => Boolean(amount_fen || percent_off) && discount_max_fen !== null && min_spend_fen !== null;
