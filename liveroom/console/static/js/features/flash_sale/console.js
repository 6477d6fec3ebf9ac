/** Flash sales in the console: the form to announce one, the live ones, and the ledger's entry. */

import { ask } from "../../ask.js";
import { FieldErrors } from "../../console/field-errors.js";
import { STOCK_MAX } from "../../console/launch-limits.js";
import { addressWords, endButton, fillNumbers, foot, legend, makeCard } from "../../console/offer-card.js";
import { Reading } from "../../console/reading.js";
import { h } from "../../dom.js";
import { durationWords } from "../../duration.js";
import { t } from "../../i18n.js";
import { money } from "../../money.js";
import { fieldReason } from "../../reasons.js";
import { drawStock, stockBar } from "../../stock-bar.js";
import { SalePlan } from "./sale-form.js";
import { isOver, stockWords } from "./stock.js";

/** The sales' entry in the ledger. */
const ACCOUNT = {
  kind: "sales",
  id: "sale",
  title: "flash_sale",
  isNews: (type) => /^(flash_sale|stock)_/.test(type),
  card: ["gross_fen", "discount_fen", "sold"],
  totals: ["stock", "available", "held", "sold", "gross_fen"],
  figures: ["stock", "available", "held", "sold", "gross_fen", "price_fen", "discount_fen"],
};

/** Put them into the page. */
export function mount({ name, push, mayAnchor }) {
  let pinned = null;
  return {
    launch: new SalePlan(name, () => pinned),
    offers: {
      list: ({ sales }) => sales.toReversed().sort((one, other) => isOver(one) - isOver(other)), // the newest first, then those that are over
      key: ({ sale, state }) => `sale ${sale} ${state}`,
      make: (view) => makeSale(view, mayAnchor && acts(push)),
      update: updateSale,
    },
    account: ACCOUNT,
    show({ state }) {
      pinned = state.pinned?.id ?? null;
    },
  };
}

function acts(push) {
  return {
    async close({ sale, title }, control) {
      if (!(await ask(t("close_sale"), t("close_sale_sure", { title }), t("close_sale")))) return;
      await push("close_flash_sale", { sale }, { control, confirm: t("done") });
    },
    /** Resolves to the answer, or `null`; `refused(words)` shows the error of the quantity. */
    async restock({ sale }, quantity, control, refused) {
      const onFailed = (error) => {
        if (error.field !== "quantity") return false;
        refused(fieldReason(error));
        return true;
      };
      return push("restock_flash_sale", { sale, quantity }, { control, confirm: t("done"), onFailed });
    },
  };
}

function makeSale(view, may) {
  const { sale, title, price_fen, per_user_max, users_per_address_max = 0, hold_ms, state, opens_ms, closes_ms } = view;
  const times = { announced: ["opens_in_now", opens_ms], open: ["closes_in", closes_ms], closed: [] };
  return makeCard(
    { class: "sale", "data-sale": sale, "data-state": state },
    "bolt",
    title,
    times[state],
    [h("b", { class: "price" }, money(price_fen)), t("number", { number: sale }), t("per_user_meta", { count: per_user_max }), addressWords(users_per_address_max), t("hold_meta", { time: durationWords(hold_ms) })],
    stockBar(["sold", "held", "available"]),
    legend(["sold", "sold", t("sold")], ["held", "held", t("held")], ["available", "available", t("available")]),
    state === "closed" && h("p", { class: "meta" }, t("sale_waits")),
    may && state !== "closed" && foot(restockForm(view, may.restock), endButton("close", "close_sale", (control) => may.close(view, control))),
  );
}

function updateSale(card, { available, held, sold, stock }) {
  fillNumbers(card, { available, held, sold });
  drawStock(card.querySelector(".stock-bar"), { available, held, sold }, `${stockWords({ available, held, sold })} / ${stock}`);
}

function restockForm(view, restock) {
  const words = t("restock_quantity");
  const form = h(
    "form",
    { class: "restock", "data-act": "restock", autocomplete: "off", novalidate: true },
    h("span", { class: "field" }, h("input", { name: "quantity", inputmode: "numeric", maxlength: 7, "aria-label": words, placeholder: words })),
    h("button", { type: "submit" }, t("restock")),
  );
  const errors = new FieldErrors(form);
  form.addEventListener("submit", async (submitted) => {
    submitted.preventDefault();
    const reading = new Reading(form);
    const quantity = reading.count("quantity", { min: 1, max: STOCK_MAX });
    errors.show(reading.wrong);
    if (quantity === null) return;
    const refused = (wrong) => errors.show(new Map([["quantity", wrong]]));
    if (await restock(view, quantity, form.querySelector("[type=submit]"), refused)) form.reset();
  });
  return form;
}
