/** The live offers: envelopes, flash sales and coupons, each with its remaining stock and its actions. */

import { byId, forget, reconcile } from "../dom.js";
import { t } from "../i18n.js";
import { money } from "../money.js";
import { fieldReason } from "../reasons.js";
import { ask } from "../ask.js";
import { makeCoupon, makeEnvelope, makeSale, updateCoupon, updateEnvelope, updateSale } from "./offer-cards.js";

export class OffersPanel {
  #push;
  #mayAnchor;
  #state = null;

  constructor(push, mayAnchor) {
    this.#push = push;
    this.#mayAnchor = mayAnchor;
  }

  show(state) {
    this.#state = state;
    byId("offers").dataset.empty = t("nothing_live");
    const isOver = ({ state: phase, available, held }) => phase === "closed" || (phase === "open" && !available && !held);
    const sales = state.sales.toReversed(); // the newest first
    const offers = [
      ...state.envelopes.toReversed().map((view) => ({ kind: "envelope", id: view.envelope, phase: view.open, view })),
      ...[...sales.filter((view) => !isOver(view)), ...sales.filter(isOver)].map((view) => ({ kind: "sale", id: view.sale, phase: view.state, view })),
      ...state.coupons.toReversed().map((view) => ({ kind: "coupon", id: view.coupon, phase: "", view })),
    ];
    reconcile(byId("offers"), offers, {
      key: ({ kind, id, phase }) => `${kind} ${id} ${phase}`,
      make: ({ kind, view }) => this.#make(kind, view),
      update: (row, { kind, view }) => ({ envelope: updateEnvelope, sale: updateSale, coupon: updateCoupon })[kind](row, view),
    });
  }

  redraw() {
    forget(byId("offers"));
    if (this.#state) this.show(this.#state);
  }

  #make(kind, view) {
    const may = this.#mayAnchor;
    if (kind === "envelope") return makeEnvelope(view, may && this.#cancel);
    if (kind === "coupon") return makeCoupon(view, may && this.#stop);
    return makeSale(view, may && this.#close, this.#restock);
  }

  #cancel = async ({ envelope, title, total_fen }, control) => {
    if (!(await ask(t("cancel_envelope"), t("cancel_envelope_sure", { title, amount: money(total_fen) }), t("cancel_envelope")))) return;
    await this.#push("cancel_red_envelope", { envelope }, { control, confirm: t("done") });
  };

  #stop = async ({ coupon, title }, control) => {
    if (!(await ask(t("stop_coupon"), t("stop_coupon_sure", { title }), t("stop_coupon")))) return;
    await this.#push("stop_coupon", { coupon }, { control, confirm: t("done") });
  };

  #close = async ({ sale, title }, control) => {
    if (!(await ask(t("close_sale"), t("close_sale_sure", { title }), t("close_sale")))) return;
    await this.#push("close_flash_sale", { sale }, { control, confirm: t("done") });
  };

  #restock = async ({ sale }, quantity, control, refused) => {
    const onFailed = (error) => {
      if (error.field !== "quantity") return false;
      refused(fieldReason(error));
      return true;
    };
    return this.#push("restock_flash_sale", { sale, quantity }, { control, confirm: t("done"), onFailed });
  };
}
