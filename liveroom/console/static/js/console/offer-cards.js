/** How an envelope, a coupon and a flash sale look while they live: what is left of them, until when, and what can be done. */

import { countdown } from "../countdown.js";
import { h, icon } from "../dom.js";
import { t } from "../i18n.js";
import { money, shortMoney } from "../money.js";
import { conditionWords, discountWords, durationWords, minimumWords, stockWords } from "../offers.js";
import { drawStock, stockBar } from "../stock-bar.js";
import { FieldErrors } from "./field-errors.js";
import { Reading } from "./reading.js";

const RESTOCK_MAX = 1_000_000;

/** The card of an envelope; `cancel(view, control)` is called when it shall be taken back, `null` for who may not. */
export function makeEnvelope(view, cancel) {
  const { envelope, title, total_fen, shares, split, condition, users_per_address_max = 0, open, opens_ms, closes_ms } = view;
  const who = conditionWords(condition);
  return card(
    { class: "envelope", "data-envelope": envelope, "data-state": open ? "open" : "announced" },
    "envelope",
    title,
    open ? ["closes_in", closes_ms] : ["opens_in_now", opens_ms],
    [t("number", { number: envelope }), t("envelope_meta", { amount: shortMoney(total_fen), shares }), t(`split_${split}`), who, addressWords(users_per_address_max)],
    stockBar(["taken", "left"]),
    foot(legend(["left", "shares_left", t("shares_left")], ["left", "left_fen", t("money_left")]), cancel && !open && h("button", { type: "button", class: "danger", "data-act": "cancel", onclick: ({ currentTarget }) => cancel(view, currentTarget) }, t("cancel_envelope"))),
  );
}

/** Show what is left of an envelope. */
export function updateEnvelope(row, { shares, shares_left, left_fen }) {
  fill(row, { shares_left: `${shares_left} / ${shares}`, left_fen: money(left_fen) });
  const words = `${t("shares_left")}: ${shares_left} / ${shares}`;
  drawStock(row.querySelector(".stock-bar"), { taken: shares - shares_left, left: shares_left }, words);
}

/** The card of a coupon; `stop(view, control)` as `cancel` above. */
export function makeCoupon(view, stop) {
  const { coupon, title, terms, per_user_max, users_per_address_max = 0, claimable_until_ms } = view;
  const what = discountWords(terms);
  return card(
    { class: "coupon", "data-coupon": coupon, "data-state": "claimable" },
    "coupon",
    title,
    ["claimable_in", claimable_until_ms],
    [t("number", { number: coupon }), title === what ? "" : what, minimumWords(terms), t("per_user_meta", { count: per_user_max }), addressWords(users_per_address_max)],
    stockBar(["taken", "left"]),
    foot(legend(["left", "left", t("coupons_left")]), stop && h("button", { type: "button", class: "danger", "data-act": "stop", onclick: ({ currentTarget }) => stop(view, currentTarget) }, t("stop_coupon"))),
  );
}

/** Show how many of a coupon are left. */
export function updateCoupon(row, { stock, left }) {
  fill(row, { left: `${left} / ${stock}` });
  drawStock(row.querySelector(".stock-bar"), { taken: stock - left, left }, `${t("coupons_left")}: ${left} / ${stock}`);
}

/** The card of a flash sale; `close(view, control)` as `cancel` above, `restock(view, quantity, control)` resolves to whether it was done. */
export function makeSale(view, close, restock) {
  const { sale, title, price_fen, per_user_max, users_per_address_max = 0, hold_ms, state, opens_ms, closes_ms } = view;
  const times = { announced: ["opens_in_now", opens_ms], open: ["closes_in", closes_ms], closed: [] };
  return card(
    { class: "sale", "data-sale": sale, "data-state": state },
    "bolt",
    title,
    times[state],
    [h("b", { class: "price" }, money(price_fen)), t("number", { number: sale }), t("per_user_meta", { count: per_user_max }), addressWords(users_per_address_max), t("hold_meta", { time: durationWords(hold_ms) })],
    stockBar(["sold", "held", "available"]),
    legend(["sold", "sold", t("sold")], ["held", "held", t("held")], ["available", "available", t("available")]),
    state === "closed" && h("p", { class: "meta" }, t("sale_waits")),
    close &&
      state !== "closed" &&
      foot(restockForm(view, restock), h("button", { type: "button", class: "danger", "data-act": "close", onclick: ({ currentTarget }) => close(view, currentTarget) }, t("close_sale"))),
  );
}

/** Show what became of a sale's stock. */
export function updateSale(row, { available, held, sold, stock }) {
  fill(row, { available, held, sold });
  drawStock(row.querySelector(".stock-bar"), { available, held, sold }, `${stockWords({ available, held, sold })} / ${stock}`);
}

function card(attributes, picture, title, [when, untilMs], meta, ...rest) {
  return h(
    "li",
    { ...attributes, class: `offer ${attributes.class}` },
    h(
      "header",
      {},
      h("span", { class: "badge" }, icon(picture)),
      h("strong", { title }, title),
      h("span", { class: "when" }, when ? [`${t(when)} `, countdown(untilMs)] : t("state_closed")),
    ),
    h("p", { class: "meta" }, between(meta.filter(Boolean))),
    rest,
  );
}

function addressWords(count) {
  return count ? t("per_address_meta", { count }) : "";
}

function between(parts) {
  return parts.flatMap((part, index) => (index ? [" · ", part] : [part]));
}

function legend(...entries) {
  return h("p", { class: "stock-legend" }, entries.map(([kind, show, words]) => h("span", { class: kind }, `${words} `, h("b", { "data-show": show }))));
}

function foot(...children) {
  return h("div", { class: "foot" }, children);
}

function fill(row, numbers) {
  for (const [name, value] of Object.entries(numbers)) row.querySelector(`[data-show="${name}"]`).textContent = value;
}

function restockForm(view, restock) {
  const form = h(
    "form",
    { class: "restock", "data-act": "restock", autocomplete: "off", novalidate: true },
    h("span", { class: "field" }, h("input", { name: "quantity", inputmode: "numeric", maxlength: 7, "aria-label": t("restock_quantity"), placeholder: t("restock_quantity") })),
    h("button", { type: "submit" }, t("restock")),
  );
  const errors = new FieldErrors(form);
  form.addEventListener("submit", async (submitted) => {
    submitted.preventDefault();
    const reading = new Reading(form);
    const quantity = reading.count("quantity", { min: 1, max: RESTOCK_MAX });
    errors.show(reading.wrong);
    if (quantity === null) return;
    const refused = (words) => errors.show(new Map([["quantity", words]]));
    if (await restock(view, quantity, form.querySelector("[type=submit]"), refused)) form.reset();
  });
  return form;
}
